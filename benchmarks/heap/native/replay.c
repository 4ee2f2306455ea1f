/* Replays an allocation trace (stdin, expanded) on the C library's malloc, or what LD_PRELOAD puts in its place; prints nanoseconds of processor time per event, the median of 9 rounds. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ROUNDS 9

struct event {
  uint8_t op, thread;
  uint16_t log2align;
  uint32_t id, size;
};

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return t.tv_sec * 1e9 + t.tv_nsec;
}

static int ascending(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

int main(void) {
  uint32_t header[8];
  if (fread(header, 32, 1, stdin) != 1 || header[0] != 0x43525448) return 2;
  uint32_t events = header[2], objects = header[3];
  struct event *list = malloc(events * sizeof *list);
  void **blocks = calloc(objects, sizeof *blocks);
  if (fread(list, sizeof *list, events, stdin) != events) return 2;
  double samples[ROUNDS];
  for (int round = -3; round < ROUNDS; round++) {
    double from = now();
    uint32_t total = events;
    for (uint32_t e = 0; e < events; e++) {
      struct event v = list[e];
      switch (v.op) {
        case 0: blocks[v.id] = malloc(v.size); break;
        case 1: blocks[v.id] = calloc(1, v.size); break;
        case 2: blocks[v.id] = realloc(blocks[v.id], v.size ? v.size : 1); break;
        case 3: blocks[v.id] = aligned_alloc((size_t)1 << v.log2align, v.size); break;
        default: free(blocks[v.id]); blocks[v.id] = NULL;
      }
    }
    for (uint32_t id = 0; id < objects; id++)
      if (blocks[id]) { free(blocks[id]); blocks[id] = NULL; total++; }
    if (round >= 0) samples[round] = (now() - from) / total;
  }
  qsort(samples, ROUNDS, sizeof *samples, ascending);
  printf("%.2f\n", samples[ROUNDS / 2]);
  return 0;
}
