/*
 * What Linux takes for the operations that the virtual memory manager is measured by, on this machine, now.
 *
 * Prints one line per figure: name, nanoseconds. Each figure is the quickest of several rounds. Transparent 2M pages are off for the ranges used,
 * so that a fault is a 4K fault.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { PAGE = 4096, FAULT_PAGES = 4096, FAULT_ROUNDS = 150, CLONE_PAGES = 100000, REGIONS = 10000, PAIRS = 20000, ROUNDS = 11 };

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void print_quickest(const char *name, const double *rounds, int count) {
  double best = rounds[0];
  for (int round = 1; round < count; round++)
    if (rounds[round] < best) best = rounds[round];
  printf("%s %.1f\n", name, best);
}

static unsigned char *map_pages(size_t pages) {
  unsigned char *at = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (at == MAP_FAILED) {
    perror("mmap");
    exit(1);
  }
  madvise(at, pages * PAGE, MADV_NOHUGEPAGE);
  return at;
}

/* The first store to a page: fault, frame, zeroing, entry. */
static void store_faults(void) {
  double rounds[FAULT_ROUNDS];
  for (int round = 0; round < FAULT_ROUNDS; round++) {
    volatile unsigned char *at = map_pages(FAULT_PAGES);
    double start = now();
    for (size_t page = 0; page < FAULT_PAGES; page++) at[page * PAGE] = 1;
    rounds[round] = (now() - start) / FAULT_PAGES;
    munmap((void *)at, (size_t)FAULT_PAGES * PAGE);
  }
  print_quickest("store-fault", rounds, FAULT_ROUNDS);
}

/* fork of a process with resident pages, until it returns in the parent. */
static void clone_space(void) {
  double rounds[ROUNDS];
  unsigned char *at = map_pages(CLONE_PAGES);
  for (size_t page = 0; page < CLONE_PAGES; page++) at[page * PAGE] = 1;
  for (int round = 0; round < ROUNDS; round++) {
    double start = now();
    pid_t child = fork();
    if (child == 0) _exit(0);
    rounds[round] = now() - start;
    waitpid(child, NULL, 0);
  }
  munmap(at, (size_t)CLONE_PAGES * PAGE);
  print_quickest("clone", rounds, ROUNDS);
}

/* mmap and munmap of one page while many regions that cannot merge exist. */
static void map_unmap(void) {
  double rounds[ROUNDS];
  unsigned char *base = mmap(NULL, (size_t)REGIONS * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (base == MAP_FAILED) {
    perror("mmap");
    exit(1);
  }
  /* Every other page with other rights: REGIONS regions. */
  for (size_t region = 0; region < REGIONS / 2; region++)
    mprotect(base + region * 2 * PAGE, PAGE, PROT_READ | PROT_WRITE);
  for (int round = 0; round < ROUNDS; round++) {
    double start = now();
    for (int pair = 0; pair < PAIRS; pair++) {
      void *at = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
      munmap(at, PAGE);
    }
    rounds[round] = (now() - start) / PAIRS;
  }
  munmap(base, (size_t)REGIONS * PAGE);
  print_quickest("map-unmap", rounds, ROUNDS);
}

int main(void) {
  store_faults();
  clone_space();
  map_unmap();
  return 0;
}
