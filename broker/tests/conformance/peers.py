"""Peers that nobody of this project wrote, as far as the wire goes: libzmq by pyzmq, and majortomo.

    python3 peers.py NAME FRONT BACK [ARGUMENT...]

Each function below is a peer. Clients check their answers and end; workers print "ready" and work until they are killed. The
MDP 0.1 peers are written from the protocol's text (zeromq RFC 7).
"""

import sys
import time

import zmq

LIMIT = 20_000  # ms that a client waits for any answer
context = zmq.Context()


def socket(kind, address, **options):
    made = context.socket(kind)
    made.setsockopt(zmq.LINGER, 0)
    made.setsockopt(zmq.RCVTIMEO, LIMIT)
    for name, value in options.items():
        made.setsockopt(getattr(zmq, name), value)
    made.connect(address)
    return made


def equal(got, want):
    if got != want:
        sys.exit(f"got {got!r}, want {want!r}")


def say(word):
    print(word, flush=True)


# Clients of a worker that answers the body in capital letters.


def req(front, back):
    client = socket(zmq.REQ, front)
    for number in range(20):
        client.send(b"hello-%d" % number)
        equal(client.recv_multipart(), [b"HELLO-%d" % number])
    client.send_multipart([b"a", b"", b"b"])
    equal(client.recv_multipart(), [b"A", b"", b"B"])


def req_correlate(front, back):
    client = socket(zmq.REQ, front, REQ_CORRELATE=1, REQ_RELAXED=1)
    for number in range(20):
        client.send(b"hello-%d" % number)
        equal(client.recv(), b"HELLO-%d" % number)


def dealer(front, back):
    client = socket(zmq.DEALER, front)
    for number in range(50):
        client.send_multipart([b"", b"with-%d" % number])
    equal([client.recv_multipart() for _ in range(50)], [[b"", b"WITH-%d" % n] for n in range(50)])
    client.send(b"without")
    equal(client.recv_multipart(), [b"WITHOUT"])


def sizes(front, back):
    client = socket(zmq.REQ, front)
    for size in (1, 255, 256, 5_000, 5_000_000):
        client.send(b"x" * size)
        equal(client.recv(), b"X" * size)


def heartbeats(front, back):
    """A peer that pings every 150 ms is not disconnected for it."""
    client = socket(zmq.DEALER, front, HEARTBEAT_IVL=150, HEARTBEAT_TIMEOUT=1000)
    monitor = client.get_monitor_socket(zmq.EVENT_DISCONNECTED)
    for _ in range(10):
        client.send(b"hello")
        equal(client.recv(), b"HELLO")
        time.sleep(0.2)
    equal(monitor.poll(0), 0)


def connect_before_bind(front, back):
    """Started before the broker; says when it waits."""
    client = socket(zmq.REQ, front)
    client.send(b"early")
    say("ready")
    equal(client.recv(), b"EARLY")


def mdp1_client(front, back, service="up"):
    client = socket(zmq.REQ, front)
    client.send_multipart([b"MDPC01", b"mmi.service", service.encode()])
    equal(client.recv_multipart(), [b"MDPC01", b"mmi.service", b"200"])
    client.send_multipart([b"MDPC01", b"mmi.service", b"nobody"])
    equal(client.recv_multipart(), [b"MDPC01", b"mmi.service", b"404"])
    for number in range(20):
        client.send_multipart([b"MDPC01", service.encode(), b"hello-%d" % number])
        equal(client.recv_multipart(), [b"MDPC01", service.encode(), b"HELLO-%d" % number])


def mdp2_client(front, back, service="up"):
    """As RFC 18 has it: a DEALER without a delimiter."""
    client = socket(zmq.DEALER, front)
    for number in range(20):
        client.send_multipart([b"MDPC02", b"\x01", service.encode(), b"hello-%d" % number])
        equal(client.recv_multipart(), [b"MDPC02", b"\x03", service.encode(), b"HELLO-%d" % number])


def majortomo_client(front, back, service="up"):
    from majortomo.client import Client

    with Client(front) as client:
        for number in range(20):
            client.send(service, b"hello-%d" % number)
            equal(client.recv_all_as_list(timeout=LIMIT / 1000), [b"HELLO-%d" % number])


def cbw_client(front, back, name, count):
    client = socket(zmq.REQ, front, IDENTITY=name.encode())
    for number in range(1, int(count) + 1):
        client.send_string(f"{name}-{number}")
        equal(client.recv_string(), f"{name}-{number}".upper())


# Workers that answer the body in capital letters.


def lb_worker(front, back):
    worker = socket(zmq.REQ, front, RCVTIMEO=-1)
    worker.send(b"READY")
    say("ready")
    while True:
        address, empty, *body = worker.recv_multipart()
        equal(empty, b"")
        worker.send_multipart([address, b"", *(frame.upper() for frame in body)])


def mdp1_worker(front, back, service="up"):
    worker = socket(zmq.DEALER, front)
    worker.send_multipart([b"", b"MDPW01", b"\x01", service.encode()])
    say("ready")
    while True:
        if not worker.poll(1000):
            worker.send_multipart([b"", b"MDPW01", b"\x04"])
            continue
        empty, header, command, *rest = worker.recv_multipart()
        equal((empty, header), (b"", b"MDPW01"))
        if command == b"\x02":
            client, empty, *body = rest
            equal(empty, b"")
            answer = [frame.upper() for frame in body]
            worker.send_multipart([b"", b"MDPW01", b"\x03", client, b"", *answer])
        elif command == b"\x05":
            worker.send_multipart([b"", b"MDPW01", b"\x01", service.encode()])
        else:
            equal(command, b"\x04")


def majortomo_worker(front, back, service="up"):
    from majortomo.worker import Worker

    with Worker(front, service) as worker:
        say("ready")
        while True:
            client, body = worker.wait_for_request()
            worker.send_reply_final(client, [frame.upper() for frame in body])


def cbw_worker(front, back, name, variant, work_ms="0"):
    """A worker of the two-port kind; says each request before it works on it."""
    worker = socket(zmq.REQ, back, IDENTITY=name.encode(), RCVTIMEO=-1)
    divider = [""] if variant == "divided" else []
    send = lambda frames: worker.send_multipart([frame.encode() for frame in frames])
    send(["", *divider, ""])
    say("ready")
    while True:
        client, *rest = [frame.decode() for frame in worker.recv_multipart()]
        equal(rest[: len(divider)], divider)
        (request,) = rest[len(divider) :]
        say(f"got {request}")
        time.sleep(int(work_ms) / 1000)
        send([client, *divider, request.upper()])


def curve_keys(server, public, secret):
    return {"CURVE_SERVERKEY": server.encode(), "CURVE_PUBLICKEY": public.encode(), "CURVE_SECRETKEY": secret.encode()}


def curve(front, back, server, public, secret):
    """Client and worker with an allowed key; one without a key gets no answer."""
    keys = curve_keys(server, public, secret)
    stranger = socket(zmq.DEALER, front, RCVTIMEO=500)
    stranger.send(b"hello")
    worker, client = socket(zmq.REQ, front, **keys), socket(zmq.REQ, front, **keys)
    worker.send(b"READY")
    for number in range(3):
        client.send(b"hello-%d" % number)
        address, empty, body = worker.recv_multipart()
        equal(body, b"hello-%d" % number)
        worker.send_multipart([address, b"", body.upper()])
        equal(client.recv(), b"HELLO-%d" % number)
    try:
        sys.exit(f"a stranger got {stranger.recv()!r}")
    except zmq.Again:
        pass


def news(inward, outward, server, public, secret):
    """Publisher and subscriber with an allowed key; those without a key, or with one of their own, tell and hear nothing."""
    keys = curve_keys(server, public, secret)
    other = curve_keys(server, *(key.decode() for key in zmq.curve_keypair()))
    ear, mouth = socket(zmq.SUB, outward, SUBSCRIBE=b"ZW", **keys), socket(zmq.PUB, inward, **keys)
    ears = [socket(zmq.SUB, outward, SUBSCRIBE=b"", **it) for it in ({}, other)]
    mouths = [socket(zmq.PUB, inward, **it) for it in ({}, other)]
    for number in range(200):
        mouth.send_multipart([b"other", b"not subscribed to"])
        mouth.send_multipart([b"ZWF1", b"told"])
        for stranger in mouths:
            stranger.send_multipart([b"ZWF1", b"lies"])
        if ear.poll(100):
            equal(ear.recv_multipart(), [b"ZWF1", b"told"])
            if number > 5:
                break
    else:
        sys.exit("nothing was heard")
    for stranger in ears:
        equal(stranger.poll(0), 0)


if __name__ == "__main__":
    name, front, back, *arguments = sys.argv[1:]
    globals()[name](front, back, *arguments)
