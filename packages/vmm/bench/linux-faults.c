/* Nanoseconds of a minor fault on anonymous memory, and of mmap + munmap of a page among 10,000 regions. */
#define _GNU_SOURCE
#include <stdio.h>
#include <sys/mman.h>
#include <time.h>

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1e9 + t.tv_nsec;
}

int main(void) {
  enum { PAGES = 8192, ROUNDS = 20, REGIONS = 10000 };
  double fault = 1e18, pair = 1e18;
  for (int round = 0; round < ROUNDS; round++) {
    char *at = mmap(0, PAGES * 4096L, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    madvise(at, PAGES * 4096L, MADV_NOHUGEPAGE);
    double start = now();
    for (int page = 0; page < PAGES; page++) at[page * 4096L] = 1;
    double took = (now() - start) / PAGES;
    if (took < fault) fault = took;
    munmap(at, PAGES * 4096L);
  }
  for (int region = 0; region < REGIONS; region++)
    mmap(0, 4096, region & 1 ? PROT_READ : PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  for (int round = 0; round < ROUNDS; round++) {
    double start = now();
    for (int at = 0; at < 1000; at++) munmap(mmap(0, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), 4096);
    double took = (now() - start) / 1000;
    if (took < pair) pair = took;
  }
  printf("%.0f %.0f\n", fault, pair);
  return 0;
}
