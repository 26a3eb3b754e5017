/* loadgen.c - drives the TCP servers of the network workloads and measures them. Linux only.
 *
 *   loadgen echo PORT PID CONNECTIONS SECONDS
 *   loadgen bulk PORT PID BYTES
 *   loadgen idle PORT PID CONNECTIONS
 *
 * echo: each connection to 127.0.0.1:PORT keeps one message of 64 bytes in flight, and every byte that
 * comes back is compared; round trips are counted for SECONDS after a warm-up. bulk: sends BYTES in
 * chunks of 64 KiB, closes its side, and stops the clock when the server has closed the other one.
 * idle: opens connections to a server that echoes, each of which has one message answered and then is left alone; the
 * resident memory that the server has gained is told per connection; then all of them are used once more.
 * PID is the server, whose CPU time and peak memory are read from the system. Prints one JSON line.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MESSAGE = 64, CHUNK = 65536, BATCH = 256 };
static const double warm_up = 0.5, patience = 10.0;

static int port, server; /* of the server: its port, its process */

static void fail(const char *what) {
  fprintf(stderr, "loadgen: %s\n", what);
  exit(1);
}

static void fail_errno(const char *what) {
  fprintf(stderr, "loadgen: %s: %s\n", what, strerror(errno));
  exit(1);
}

/* ---- measuring ---- */

struct usage {
  double wall, server, self, machine; /* seconds; the last three of CPU time */
};

static double seconds(clockid_t clock) {
  struct timespec t;
  if (clock_gettime(clock, &t)) fail_errno("clock");
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static double now(void) { return seconds(CLOCK_MONOTONIC); }

static double server_cpu(void) {
  clockid_t clock;
  if (clock_getcpuclockid(server, &clock)) fail("the server is gone");
  return seconds(clock);
}

/* what all processes used: shows how much others were running meanwhile */
static double machine_cpu(void) {
  unsigned long long user, nice, sys, idle, io, irq, soft, steal;
  FILE *f = fopen("/proc/stat", "r");
  int n =
      f ? fscanf(f, "cpu %llu %llu %llu %llu %llu %llu %llu %llu", &user, &nice, &sys, &idle, &io, &irq, &soft, &steal)
        : 0;
  if (f) fclose(f);
  return n == 8 ? (double)(user + nice + sys + irq + soft + steal) / (double)sysconf(_SC_CLK_TCK) : 0;
}

/* a line of the server's status, as "VmHWM: %ld" */
static long server_kb(const char *line_of) {
  char path[64], line[256];
  long kb = 0;
  snprintf(path, sizeof path, "/proc/%d/status", server);
  FILE *f = fopen(path, "r");
  if (!f) fail("the server is gone");
  while (fgets(line, sizeof line, f)) sscanf(line, line_of, &kb);
  fclose(f);
  return kb;
}

static long server_peak_kb(void) { return server_kb("VmHWM: %ld"); }

static struct usage usage(void) {
  return (struct usage){now(), server_cpu(), seconds(CLOCK_PROCESS_CPUTIME_ID), machine_cpu()};
}

/* prints the members that both workloads have, and leaves the object open */
static void report(long long ops, struct usage a, struct usage b) {
  double wall = b.wall - a.wall, cpu = b.server - a.server, self = b.self - a.self;
  printf("{\"ops\":%lld,\"seconds\":%.6f,\"cpu_s\":%.6f,\"peak_kb\":%ld", ops, wall, cpu, server_peak_kb());
  printf(",\"server_cpu_pct\":%.1f,\"load_cpu_pct\":%.1f,\"other_cpu_pct\":%.1f", 100 * cpu / wall, 100 * self / wall,
         100 * (b.machine - a.machine - cpu - self) / wall);
}

/* ---- a histogram of latencies: 16 steps per power of two, in nanoseconds ---- */

enum { STEPS = 16, CELLS = 64 * STEPS };
static uint64_t cells[CELLS], counted;

static void count(double latency) {
  uint64_t ns = latency > 16e-9 ? (uint64_t)(latency * 1e9) : 16;
  int octave = 63 - __builtin_clzll(ns);
  cells[octave * STEPS + (int)((ns >> (octave - 4)) & (STEPS - 1))]++;
  counted++;
}

static void forget_counts(void) {
  memset(cells, 0, sizeof cells);
  counted = 0;
}

static double percentile_us(double p) {
  uint64_t sum = 0;
  for (int i = 0; i < CELLS; i++) {
    sum += cells[i];
    if (counted && (double)sum >= p * (double)counted)
      return (double)((STEPS + (uint64_t)i % STEPS) << (i / STEPS - 4)) / 1e3;
  }
  return 0;
}

/* ---- the workloads ---- */

/* a connection; tries again for a while, the server may still be starting */
static int dial(void) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  for (double until = now() + patience;;) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
    if (fd < 0) fail_errno("socket");
    if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0) {
      setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
      return fd;
    }
    if (now() > until) fail_errno("connect");
    close(fd);
    nanosleep(&(struct timespec){0, 20000000}, NULL);
  }
}

struct conn {
  int fd;
  size_t got;
  uint32_t round;
  double sent_at;
  unsigned char out[MESSAGE], in[MESSAGE];
};

static void send_message(struct conn *c) {
  c->round++;
  memcpy(c->out, &c->round, sizeof c->round);
  c->got = 0;
  c->sent_at = now();
  if (send(c->fd, c->out, MESSAGE, MSG_NOSIGNAL) != MESSAGE) fail_errno("send");
}

static void receive(struct conn *c) {
  ssize_t n = recv(c->fd, c->in + c->got, MESSAGE - c->got, 0);
  if (n < 0) fail_errno("recv");
  if (n == 0) fail("the server closed a connection");
  c->got += (size_t)n;
  if (c->got < MESSAGE) return;
  if (memcmp(c->in, c->out, MESSAGE)) fail("the echo differs");
  count(now() - c->sent_at);
  send_message(c);
}

static void open_all(struct conn *conns, int n, int poller) {
  for (int i = 0; i < n; i++) {
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = &conns[i]};
    conns[i].fd = dial();
    for (int k = 0; k < MESSAGE; k++) conns[i].out[k] = (unsigned char)(i * 31 + k);
    if (epoll_ctl(poller, EPOLL_CTL_ADD, conns[i].fd, &event)) fail_errno("epoll_ctl");
  }
  for (int i = 0; i < n; i++) send_message(&conns[i]);
}

static void echo_until(int poller, double end) {
  struct epoll_event events[BATCH];
  for (double last = now(); last < end;) {
    int n = epoll_wait(poller, events, BATCH, 1000);
    if (n < 0 && errno != EINTR) fail_errno("epoll_wait");
    for (int i = 0; i < n; i++) receive(events[i].data.ptr);
    double t = now();
    if (n > 0)
      last = t;
    else if (t > last + patience)
      fail("the server is silent");
  }
}

static void run_echo(int n, double duration) {
  struct conn *conns = calloc((size_t)n, sizeof *conns);
  int poller = epoll_create1(EPOLL_CLOEXEC);
  if (!conns || poller < 0) fail_errno("setup");
  open_all(conns, n, poller);
  echo_until(poller, now() + warm_up);
  forget_counts();
  struct usage before = usage();
  echo_until(poller, before.wall + duration);
  report((long long)counted, before, usage());
  printf(",\"p50_us\":%.1f,\"p99_us\":%.1f}\n", percentile_us(.5), percentile_us(.99));
}

static void run_bulk(long long bytes) {
  static char chunk[CHUNK];
  char byte;
  int fd = dial();
  struct usage before = usage();
  for (long long left = bytes; left > 0;) {
    ssize_t n = send(fd, chunk, left < CHUNK ? (size_t)left : CHUNK, MSG_NOSIGNAL);
    if (n < 0) fail_errno("send");
    left -= n;
  }
  shutdown(fd, SHUT_WR);
  if (recv(fd, &byte, 1, 0) != 0) fail("the server did not just close");
  report(bytes, before, usage());
  printf("}\n");
}

/* one message there and back */
static void exchange(int fd, int i) {
  unsigned char out[MESSAGE], in[MESSAGE];
  memset(out, i, MESSAGE);
  if (send(fd, out, MESSAGE, MSG_NOSIGNAL) != MESSAGE) fail_errno("send");
  if (recv(fd, in, MESSAGE, MSG_WAITALL) != MESSAGE) fail_errno("recv");
  if (memcmp(in, out, MESSAGE)) fail("the echo differs");
}

static void run_idle(int n) {
  int *fds = calloc((size_t)n, sizeof *fds);
  if (!fds) fail_errno("setup");
  exchange(dial(), 0);
  struct usage before = usage();
  long kb = server_kb("VmRSS: %ld");
  for (int i = 0; i < n; i++) exchange(fds[i] = dial(), i);
  kb = server_kb("VmRSS: %ld") - kb;
  for (int i = 0; i < n; i++) exchange(fds[i], i + 1);
  report(n, before, usage());
  printf(",\"bytes_per_connection\":%.0f}\n", (double)kb * 1024 / n);
}

int main(int argc, char **argv) {
  const char *what = argc > 1 ? argv[1] : "";
  if (argc > 3) {
    port = atoi(argv[2]);
    server = atoi(argv[3]);
  }
  if (argc == 6 && !strcmp(what, "echo"))
    run_echo(atoi(argv[4]), atof(argv[5]));
  else if (argc == 5 && !strcmp(what, "bulk"))
    run_bulk(atoll(argv[4]));
  else if (argc == 5 && !strcmp(what, "idle"))
    run_idle(atoi(argv[4]));
  else {
    fprintf(stderr,
            "usage: loadgen echo PORT PID CONNECTIONS SECONDS\n       loadgen bulk PORT PID BYTES\n"
            "       loadgen idle PORT PID CONNECTIONS\n");
    return 2;
  }
  return 0;
}
