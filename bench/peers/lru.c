/* The benchmark's peer in C: a broker of the load-balancing pattern on libzmq. Two ROUTER sockets, one for clients and one
 * for workers; the worker that has been free for longest gets the next request, and clients are read only while a worker
 * is free. It keeps nothing: a request whose worker dies is lost. Frames are moved, never copied, and after each wait
 * everything that is there is handled, so that libzmq is shown at its best.
 *
 *   lru FRONT BACK        two addresses to listen on, such as tcp://127.0.0.1:5555
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

/* An envelope, a body, and room to spare; a longer message is dropped. */
#define MOST_FRAMES 8
/* Free workers remembered; a power of two. */
#define MOST_WORKERS 65536
/* Messages taken from one socket before the other has its turn. */
#define BURST 64

struct message {
  int count;
  zmq_msg_t frames[MOST_FRAMES];
};

/* Names of free workers, the one that became free first in front. */
static zmq_msg_t free_workers[MOST_WORKERS];
static unsigned first_free, end_free;

static void check(bool good, const char *what) {
  if (!good) {
    fprintf(stderr, "lru: %s: %s\n", what, zmq_strerror(errno));
    exit(1);
  }
}

static void drop(struct message *message) {
  for (int i = 0; i < message->count; i++) zmq_msg_close(&message->frames[i]);
  message->count = 0;
}

/* Reads a whole message if there is one. One that is too long is read and comes back empty. */
static bool receive(void *socket, struct message *message) {
  message->count = 0;
  bool more = true, first = true, too_long = false;
  while (more) {
    zmq_msg_t frame;
    zmq_msg_init(&frame);
    if (zmq_msg_recv(&frame, socket, first ? ZMQ_DONTWAIT : 0) < 0) {
      check(errno == EAGAIN || errno == EINTR, "receive");
      zmq_msg_close(&frame);
      return false;
    }
    first = false;
    more = zmq_msg_more(&frame);
    if (message->count < MOST_FRAMES) {
      zmq_msg_init(&message->frames[message->count]);
      zmq_msg_move(&message->frames[message->count++], &frame);
    } else {
      too_long = true;
    }
    zmq_msg_close(&frame);
  }
  if (too_long) drop(message);
  return true;
}

/* Sends frames of a message from `from` on; they belong to the socket then. More follow if `more`. */
static void send_frames(void *socket, struct message *message, int from, bool more) {
  for (int i = from; i < message->count; i++) {
    int flags = more || i + 1 < message->count ? ZMQ_SNDMORE : 0;
    if (zmq_msg_send(&message->frames[i], socket, flags) < 0) zmq_msg_close(&message->frames[i]);
  }
}

/* From a worker: its name, an empty frame, then either READY or the client's name, an empty frame and the answer. */
static void from_worker(void *front, struct message *message) {
  if (message->count < 3 || end_free - first_free == MOST_WORKERS) {
    drop(message);
    return;
  }
  zmq_msg_t *place = &free_workers[end_free++ % MOST_WORKERS];
  zmq_msg_init(place);
  zmq_msg_move(place, &message->frames[0]);
  zmq_msg_close(&message->frames[0]);
  zmq_msg_close(&message->frames[1]);
  if (message->count == 3) {
    zmq_msg_close(&message->frames[2]);
  } else {
    send_frames(front, message, 2, false);
  }
}

/* From a client: its name, an empty frame, the request. */
static void from_client(void *back, struct message *message) {
  if (message->count < 3) {
    drop(message);
    return;
  }
  struct message envelope = {.count = 2};
  zmq_msg_init(&envelope.frames[0]);
  zmq_msg_move(&envelope.frames[0], &free_workers[first_free % MOST_WORKERS]);
  zmq_msg_close(&free_workers[first_free++ % MOST_WORKERS]);
  zmq_msg_init(&envelope.frames[1]);
  send_frames(back, &envelope, 0, true);
  send_frames(back, message, 0, false);
}

static void *listening(void *context, const char *address) {
  void *socket = zmq_socket(context, ZMQ_ROUTER);
  check(socket != NULL, "socket");
  check(zmq_bind(socket, address) == 0, address);
  return socket;
}

int main(int argc, char **argv) {
  if (argc == 2 && strcmp(argv[1], "--version") == 0) {
    int major, minor, patch;
    zmq_version(&major, &minor, &patch);
    printf("C on libzmq %d.%d.%d\n", major, minor, patch);
    return 0;
  }
  if (argc != 3) {
    fprintf(stderr, "usage: lru FRONT BACK\n");
    return 2;
  }
  void *context = zmq_ctx_new();
  void *front = listening(context, argv[1]), *back = listening(context, argv[2]);
  zmq_pollitem_t items[] = {{back, 0, ZMQ_POLLIN, 0}, {front, 0, ZMQ_POLLIN, 0}};
  struct message message;
  for (;;) {
    int watched = end_free != first_free ? 2 : 1;
    check(zmq_poll(items, watched, -1) >= 0 || errno == EINTR, "poll");
    bool any = true;
    while (any) {
      any = false;
      for (int i = 0; i < BURST && receive(back, &message); i++, any = true) from_worker(front, &message);
      for (int i = 0; i < BURST && end_free != first_free && receive(front, &message); i++, any = true)
        from_client(back, &message);
    }
  }
}
