"""What `dramatiq workers.main:broker` loads, for people who run Dramatiq's own command.

`pillarbox worker` is the usual way; it needs none of this.
"""

import dramatiq

from runtime import log
from runtime.settings import Settings
from workers import deliver
from workers.wiring import Wiring

settings = Settings.from_environment()
log.set_up(form=settings.log_format, level=settings.log_level, role="worker")
wiring = Wiring.build(settings)
wiring.bind()
broker = wiring.broker
dramatiq.set_broker(broker)
deliver.bind(wiring, broker)
