"""A module whose warm-up leaves a thread running."""

import threading
import time


def warm_up():
    threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
