"""Runs inside the sandbox: mounts, starts processes, sends signals, reports exits. It does not know Lambda.

The simulator runs this file as a program (`python -I -S launcher.py FD`) and speaks JSON with it over a
SOCK_SEQPACKET socket, one object a packet. It has one thread, and keeps dead processes as zombies until it is asked to
reap them, so that a signal can never reach a process id that meanwhile belongs to another process. When the socket
closes, for whatever reason, everything it started is killed.
"""

# pathlib does not fit calls on descriptors, and takes milliseconds to import
# ruff: noqa: PTH102, PTH103, PTH112, PTH118, PTH119, PTH120, PTH123, PTH208, PTH211

from __future__ import annotations

import ctypes
import errno
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from typing import Any

CLONE_NEWNS = 0x00020000
CLONE_NEWUSER = 0x10000000
MS_BIND = 4096
MS_REC = 16384
MS_PRIVATE = 1 << 18
PACKET = 1 << 18

libc = ctypes.CDLL(None, use_errno=True)


def check(what: str, result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def mount(source: str, target: str, kind: str | None, flags: int, options: str | None = None) -> None:
    arguments = (
        source.encode(),
        target.encode(),
        kind and kind.encode(),
        flags,
        options and options.encode(),
    )
    check(f"mount {source} on {target}", libc.mount(*arguments))


def bind(source: str, target: str) -> None:
    mount(source, target, None, MS_BIND | MS_REC)


def enter_namespace() -> None:
    """Leaves the host's mounts. A user who is not root needs a separate user namespace for that."""
    user, group = os.getuid(), os.getgid()
    flags = CLONE_NEWNS if user == 0 else CLONE_NEWNS | CLONE_NEWUSER
    check("unshare", libc.unshare(flags))
    if user != 0:
        write("/proc/self/setgroups", "deny")
        write("/proc/self/uid_map", f"{user} {user} 1")
        write("/proc/self/gid_map", f"{group} {group} 1")
    keep_mounts_here()


def keep_mounts_here() -> None:
    """Makes every mount private, so that none of ours reaches the host."""
    try:
        mount("none", "/", None, MS_REC | MS_PRIVATE)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        keep_mounts_here_in_chroot()


def keep_mounts_here_in_chroot() -> None:
    """Does the same if / is a folder below the mount it lies on, which therefore has no path.

    It changes to the root of the namespace and back. Binding / onto itself would give it a path, but also on the host
    if it is shared.
    """
    root, namespace = os.open("/", os.O_PATH), os.open("/proc/self/ns/mnt", os.O_RDONLY)
    check("setns", libc.setns(namespace, CLONE_NEWNS))  # our own namespace: it only changes the root
    try:
        mount("none", "/", None, MS_REC | MS_PRIVATE)
    finally:
        os.fchdir(root)
        os.chroot(".")
        os.close(root)
        os.close(namespace)


def write(path: str, text: str) -> None:
    with open(path, "w", encoding="ascii") as file:
        file.write(text)


def make_mount_point(path: str) -> None:
    """Makes a folder like /var/task that the host lacks, and does not change the host.

    It covers the parent with an empty file system, and binds everything that was in the parent back into it.
    """
    if os.path.isdir(path):
        return
    parent = os.path.dirname(path)
    if not os.path.isdir(parent) or parent == "/":
        raise OSError(errno.ENOENT, f"{parent}: no folder to put {path} into")
    held = {
        name: os.open(os.path.join(parent, name), os.O_PATH | os.O_NOFOLLOW) for name in os.listdir(parent)
    }
    mount("tmpfs", parent, "tmpfs", 0, "mode=755")
    for name, descriptor in held.items():
        put_back(descriptor, os.path.join(parent, name))
        os.close(descriptor)
    os.mkdir(path, 0o755)


def put_back(descriptor: int, target: str) -> None:
    try:
        os.symlink(os.readlink("", dir_fd=descriptor), target)
        return
    except OSError as error:
        if error.errno not in (
            errno.ENOENT,
            errno.EINVAL,
        ):  # the errno of readlinkat for a descriptor that is not a link
            raise
    make_like(descriptor, target)
    bind(f"/proc/self/fd/{descriptor}", target)


def make_like(descriptor: int, target: str) -> None:
    """Makes an empty folder or file for something of the same kind to be mounted on."""
    if os.path.isdir(f"/proc/self/fd/{descriptor}"):
        os.makedirs(target, 0o755, exist_ok=True)
    else:
        os.makedirs(os.path.dirname(target), 0o755, exist_ok=True)
        os.close(os.open(target, os.O_CREAT | os.O_WRONLY, 0o600))


def arrange(order: dict[str, Any]) -> None:
    """Mounts what the order names. /tmp comes last because it hides what lies in the host's."""
    for source, target in order["folders"]:
        make_mount_point(target)
        bind(source, target)
    if order["files"]:
        gather(order["files"], order["files_in"])
    held = {path: os.open(path, os.O_PATH) for path in order["visible"]}
    bind(order["tmp"], "/tmp")
    for path, descriptor in held.items():
        make_like(descriptor, path)
        bind(f"/proc/self/fd/{descriptor}", path)
        os.close(descriptor)


def gather(files: list[str], folder: str) -> None:
    """Makes a folder that holds these files, from wherever they lie, and nothing else."""
    make_mount_point(folder)
    mount("tmpfs", folder, "tmpfs", 0, "mode=755")
    for source in files:
        target = os.path.join(folder, os.path.basename(source))
        os.close(os.open(target, os.O_CREAT | os.O_WRONLY, 0o600))
        bind(source, target)


def isolate(order: dict[str, Any]) -> dict[str, Any]:
    try:
        enter_namespace()
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return {"isolated": False, "why": f"{where}{error.strerror}"}
    try:
        arrange(order)
    except OSError as error:
        return {"broken": str(error)}
    return {"isolated": True}


class Launcher:
    """Serves one simulator until its socket closes."""

    def __init__(self, channel: socket.socket) -> None:
        self.channel = channel
        self.ready = selectors.DefaultSelector()
        self.ready.register(channel, selectors.EVENT_READ)
        self.children: dict[int, subprocess.Popen[bytes]] = {}
        self.watched: dict[int, int] = {}  # process id -> pidfd, until its exit was reported

    def serve(self) -> None:
        try:
            while True:
                for key, _ in self.ready.select():
                    if key.data is not None:
                        self.report_exit(key.data)
                    elif not self.obey():
                        return
        except (BrokenPipeError, ConnectionResetError):
            return  # the simulator is gone, so nobody is left to report to
        finally:
            for pid in self.children:
                os.killpg(pid, signal.SIGKILL)

    def send(self, message: dict[str, Any]) -> None:
        self.channel.sendall(json.dumps(message).encode())

    def obey(self) -> bool:
        packet, descriptors, _, _ = socket.recv_fds(self.channel, PACKET, 2)
        if not packet:
            return False
        order = json.loads(packet)
        if order["do"] == "isolate":
            self.send(isolate(order))
        elif order["do"] == "start":
            self.start(order, descriptors)
        elif order["do"] == "signal":
            self.signal(order["pid"], order["signal"])
        elif order["do"] == "freeze":
            self.freeze()
            self.send({"frozen": len(self.children)})
        elif order["do"] == "reap":
            self.reap(order["pid"])
            self.send({"reaped": order["pid"]})
        return True

    def start(self, order: dict[str, Any], descriptors: list[int]) -> None:
        out, err = descriptors
        at = time.monotonic_ns()
        try:
            child = subprocess.Popen(
                order["command"], env=order["variables"], cwd=order["folder"], start_new_session=True,
                stdin=subprocess.DEVNULL, stdout=out, stderr=err,
            )  # fmt: skip
        except OSError as error:
            self.send(
                {"refused": errno.errorcode.get(error.errno or 0, "?"), "words": error.strerror, "at": at}
            )
            return
        finally:
            os.close(out)
            os.close(err)
        self.children[child.pid] = child
        self.watched[child.pid] = os.pidfd_open(child.pid)
        self.ready.register(self.watched[child.pid], selectors.EVENT_READ, child.pid)
        self.send({"started": child.pid, "at": at})

    def report_exit(self, pid: int) -> None:
        at = time.monotonic_ns()
        descriptor = self.watched.pop(pid, None)
        if descriptor is None:
            return
        self.ready.unregister(descriptor)
        os.close(descriptor)
        result = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        if result is None:
            return
        code = result.si_status if result.si_code == os.CLD_EXITED else -result.si_status
        self.send({"exited": pid, "code": code, "at": at})

    def signal(self, pid: int, number: int) -> None:
        if pid in self.children:
            os.killpg(pid, number)

    def freeze(self) -> None:
        """Stops every group, and waits until the process that was started in it has stopped, or has ended."""
        for pid in self.children:
            os.killpg(pid, signal.SIGSTOP)
        for pid in self.children:
            os.waitid(os.P_PID, pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)

    def reap(self, pid: int) -> None:
        """Kills what is left of the group, then releases its number."""
        child = self.children.pop(pid)
        os.killpg(pid, signal.SIGKILL)
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        self.report_exit(pid)
        child.wait()


if __name__ == "__main__":
    os.umask(0o022)
    Launcher(socket.socket(fileno=int(sys.argv[1]))).serve()
