"""The benchmark's peer in Python: the same broker as lru.c, on pyzmq.

Two ROUTER sockets; the worker that has been free for longest gets the next request, and clients are read only while a
worker is free. After each wait everything that is there is handled. Usage: lru.py FRONT BACK
"""

import collections
import sys

import zmq

# Messages taken from one socket before the other has its turn.
BURST = 64


def received(socket):
    """The next message, or None."""
    try:
        return socket.recv_multipart(zmq.DONTWAIT)
    except zmq.Again:
        return None


def main():
    if sys.argv[1:] == ["--version"]:
        print(f"pyzmq {zmq.__version__}, libzmq {zmq.zmq_version()}, Python {sys.version.split()[0]}")
        return
    context = zmq.Context()
    front, back = context.socket(zmq.ROUTER), context.socket(zmq.ROUTER)
    front.bind(sys.argv[1])
    back.bind(sys.argv[2])
    waiting_for_workers, waiting_for_both = zmq.Poller(), zmq.Poller()
    for poller in waiting_for_workers, waiting_for_both:
        poller.register(back, zmq.POLLIN)
    waiting_for_both.register(front, zmq.POLLIN)
    free = collections.deque()
    while True:
        (waiting_for_both if free else waiting_for_workers).poll()
        busy = True
        while busy:
            busy = False
            for _ in range(BURST):
                message = received(back)
                if message is None:
                    break
                busy = True
                free.append(message[0])
                if len(message) > 3:
                    front.send_multipart(message[2:], copy=True)
            for _ in range(BURST):
                message = received(front) if free else None
                if message is None:
                    break
                busy = True
                back.send_multipart([free.popleft(), b"", *message], copy=True)


main()
