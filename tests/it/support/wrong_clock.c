// A real-time clock that is wrong for one process (LD_PRELOAD), by as many seconds as the file says that WRONG_CLOCK
// names. Waits until a time of this clock follow its jumps, as the kernel's do. libfaketime leaves those of C11 out,
// by which librdkafka waits.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>

static const volatile int64_t *offset;

__attribute__((constructor)) static void map_offset(void) {
  int file = open(getenv("WRONG_CLOCK"), O_RDONLY);
  void *mapped = mmap(NULL, sizeof *offset, PROT_READ, MAP_SHARED, file, 0);
  if (file < 0 || mapped == MAP_FAILED) abort();
  close(file);
  offset = mapped;
}

static int right_time(clockid_t clock, struct timespec *at) { return (int)syscall(SYS_clock_gettime, clock, at); }

int clock_gettime(clockid_t clock, struct timespec *at) {
  int failed = right_time(clock, at);
  // Before the file is mapped, the loader may ask.
  if (!failed && offset && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) at->tv_sec += *offset;
  return failed;
}

int gettimeofday(struct timeval *restrict at, void *restrict zone) {
  struct timespec now;
  (void)zone;
  clock_gettime(CLOCK_REALTIME, &now);
  *at = (struct timeval){.tv_sec = now.tv_sec, .tv_usec = now.tv_nsec / 1000};
  return 0;
}

time_t time(time_t *at) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  if (at) *at = now.tv_sec;
  return now.tv_sec;
}

int timespec_get(struct timespec *at, int base) { return clock_gettime(CLOCK_REALTIME, at) ? 0 : base; }

static int64_t nanoseconds(const struct timespec *at) { return at->tv_sec * INT64_C(1000000000) + at->tv_nsec; }

// In slices, until this clock has come to `until`, wherever it jumps meanwhile.
int cnd_timedwait(cnd_t *restrict condition, mtx_t *restrict lock, const struct timespec *restrict until) {
  static const int64_t slice = 50000000;
  static int (*wait)(cnd_t *, mtx_t *, const struct timespec *);
  if (!wait) *(void **)&wait = dlsym(RTLD_NEXT, "cnd_timedwait");
  for (;;) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    int64_t left = nanoseconds(until) - nanoseconds(&now);
    if (left <= 0) return thrd_timedout;
    right_time(CLOCK_REALTIME, &now);
    int64_t end = nanoseconds(&now) + (left < slice ? left : slice);
    struct timespec soon = {.tv_sec = end / 1000000000, .tv_nsec = end % 1000000000};
    int ended = wait(condition, lock, &soon);
    if (ended != thrd_timedout) return ended;
  }
}
