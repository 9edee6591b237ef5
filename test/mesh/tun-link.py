"""Carries packets between the network namespaces of two processes, through a tun device in each.

Arguments: the two process ids. Says "up" when both devices are there; they go with this process,
which ends when its standard input does.
"""
import ctypes
import fcntl
import os
import select
import struct
import sys

TUNSETIFF = 0x400454CA
IFF_TUN_WITHOUT_HEADER = 0x1001
libc = ctypes.CDLL(None, use_errno=True)


def end_in(pid):
    with open(f"/proc/{pid}/ns/net") as namespace:
        if libc.setns(namespace.fileno(), 0) != 0:
            raise OSError(ctypes.get_errno(), "setns")
    device = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(device, TUNSETIFF, struct.pack("16sH22x", b"cable", IFF_TUN_WITHOUT_HEADER))
    return device


one, two = (end_in(pid) for pid in sys.argv[1:3])
print("up", flush=True)
while True:
    readable, _, _ = select.select([one, two, 0], [], [])
    if 0 in readable:
        sys.exit()
    for device in readable:
        try:
            os.write(two if device == one else one, os.read(device, 65536))
        except OSError:
            pass  # The other end is down: the packet is lost, as on a cable that was pulled.
