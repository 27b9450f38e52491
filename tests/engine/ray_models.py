"""Models whose work can be watched, and that take their worker with them."""

import os
import signal
import time
from pathlib import Path

import numpy as np
from store_models import Counting


class BatchBound(Counting):
    """Values differ with what else is read at once. Notes each process that worked; one is killed at its second unit.

    `folder` is where processes leave their marks; without `fatal`, none is killed.
    """

    def __init__(self, folder: Path, fatal: bool = True, always: bool = False):
        super().__init__(dim=32)
        self.folder, self.fatal, self.always = folder, fatal, always

    def raw(self, texts, prompt, advance):
        mine = self.folder / f"{os.getpid()}"
        if self.fatal and mine.exists():
            try:
                (self.folder / "killed").touch(exist_ok=self.always)
                os.kill(os.getpid(), signal.SIGKILL)
            except FileExistsError:
                pass
        with mine.open("a") as notes:
            notes.write("".join(f"{text}\n" for text in texts))
        return super().raw(texts, prompt, advance) + np.float32(len(texts) + len(texts[0]) / 64)


class Faulty(Counting):
    """Cannot read one text."""

    def raw(self, texts, prompt, advance):
        if any("unreadable" in text for text in texts):
            raise ValueError("a text is unreadable")
        return super().raw(texts, prompt, advance)


class Located(Counting):
    """Notes the address of each host that it worked on, and takes its time, so that all hosts get to work."""

    def __init__(self, folder: str):
        super().__init__(dim=32)
        self.folder = Path(folder)
        self.folder.mkdir()

    def raw(self, texts, prompt, advance):
        import ray

        if ray.is_initialized():
            (self.folder / ray.util.get_node_ip_address()).touch()
            time.sleep(0.2)
        return super().raw(texts, prompt, advance) + np.float32(len(texts) + len(texts[0]) / 64)
