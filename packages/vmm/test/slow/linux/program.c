/*
 * The Linux side of the comparison: carries out one operation a line, "process operation arguments", and answers with a line each.
 *
 * Every process has the same 48 pages at one address, the arena, and the same four objects: two memfds that can be sealed and two files, of 6 pages each, the last
 * page of the odd ones cut short by 1000 bytes. Pages of an object hold letters. Answers: 0 or -errno; the signal of a store; what pages look like.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { P = 4096, PAGES = 48, PROCESSES = 6, OBJECTS = 4, OBJECT_PAGES = 6, LOOKED_AT = 10 };
#define ARENA ((char *)0x200000000UL)

static int commands[PROCESSES][2], answers[PROCESSES][2], objects[OBJECTS];
static sigjmp_buf jump;

static void on_signal(int number) { siglongjmp(jump, number); }

static int read_line(int fd, char *into) {
  for (int n = 0; read(fd, into + n, 1) == 1; n++)
    if (into[n] == '\n') return into[n] = 0, 1;
  return 0;
}

static long outcome(long result) { return result == -1 ? -errno : 0; }
static long placed(void *result) { return result == MAP_FAILED ? -errno : 0; }

/* The byte at an address as a letter: . for zero, ! for SIGSEGV, # for SIGBUS. */
static char seen(const volatile char *at) {
  int number = sigsetjmp(jump, 1);
  if (number != 0) return number == SIGSEGV ? '!' : '#';
  char byte = *at;
  return byte ? byte : '.';
}

static long store(volatile char *at, char letter) {
  int number = sigsetjmp(jump, 1);
  if (number == 0) *at = letter;
  return number;
}

/* Pages of the arena and below it that lie in locked regions. */
static long locked_pages(void) {
  FILE *file = fopen("/proc/self/smaps", "r");
  char line[512];
  unsigned long start = 0, end = 0, low, high, pages = 0;
  while (file && fgets(line, sizeof line, file)) {
    if (sscanf(line, "%lx-%lx ", &low, &high) == 2) start = low, end = high;
    if (!strncmp(line, "VmFlags", 7) && strstr(line, " lo") && end <= (unsigned long)ARENA + PAGES * P && start > 1UL << 32)
      pages += (end - start) / P;
  }
  if (file) fclose(file);
  return pages;
}

static long run(const char *op, const long *a) {
  char *at = ARENA + a[0] * P;
  char letter = a[2];
  if (!strcmp(op, "map")) return placed(mmap(at, a[1] * P, a[2], a[3], a[4] < 0 ? -1 : objects[a[4]], a[5] * P));
  if (!strcmp(op, "unmap")) return outcome(munmap(at, a[1] * P));
  if (!strcmp(op, "protect")) return outcome(mprotect(at, a[1] * P, a[2]));
  if (!strcmp(op, "advise")) return outcome(madvise(at, a[1] * P, a[2]));
  if (!strcmp(op, "lock")) return outcome(mlock2(at, a[1] * P, a[2]));
  if (!strcmp(op, "unlock")) return outcome(munlock(at, a[1] * P));
  if (!strcmp(op, "future")) return outcome(a[0] ? mlockall(a[0]) : munlockall());
  if (!strcmp(op, "locked")) return locked_pages();
  if (!strcmp(op, "sync")) return outcome(msync(at, a[1] * P, MS_SYNC));
  if (!strcmp(op, "remap")) return placed(mremap(at, a[1] * P, a[2] * P, a[3], ARENA + a[4] * P));
  if (!strcmp(op, "store")) return store(at + a[1], letter);
  if (!strcmp(op, "resize")) return outcome(ftruncate(objects[a[0]], a[1]));
  if (!strcmp(op, "write")) return outcome(pwrite(objects[a[0]], &letter, 1, a[1]));
  if (!strcmp(op, "punch"))
    return outcome(fallocate(objects[a[0]], FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, a[1], a[2]));
  if (!strcmp(op, "seal")) return outcome(fcntl(objects[a[0]], F_ADD_SEALS, a[1]));
  return -ENOSYS;
}

static void answer(int process, const char *text) {
  if (write(answers[process][1], text, strlen(text)) < 0) _exit(1);
}

static void look(int process) {
  char text[2 * PAGES + 2] = {0};
  for (int page = 0; page < PAGES; page++) {
    text[2 * page] = seen(ARENA + page * P);
    text[2 * page + 1] = seen(ARENA + page * P + P - 1);
  }
  text[2 * PAGES] = '\n';
  answer(process, text);
}

/* The first and last byte of each page of an object, - beyond its end. */
static void look_at_object(int process, int object) {
  char text[2 * LOOKED_AT + 2] = {0};
  for (int n = 0; n < 2 * LOOKED_AT; n++) {
    char byte;
    ssize_t count = pread(objects[object], &byte, 1, n / 2 * P + (n & 1 ? P - 1 : 0));
    text[n] = count == 1 ? (byte ? byte : '.') : '-';
  }
  text[2 * LOOKED_AT] = '\n';
  answer(process, text);
}

static void serve(int process) {
  char line[256], op[32], text[32];
  while (read_line(commands[process][0], line)) {
    long a[8] = {0};
    int used = 0;
    sscanf(line, "%31s%n", op, &used);
    sscanf(line + used, "%ld %ld %ld %ld %ld %ld", a, a + 1, a + 2, a + 3, a + 4, a + 5);
    if (!strcmp(op, "look")) look(process);
    else if (!strcmp(op, "object")) look_at_object(process, a[0]);
    else if (!strcmp(op, "fork")) {
      pid_t child = fork();
      if (child == 0) process = a[0];
      else answer(process, child < 0 ? "-1\n" : "0\n");
    } else if (!strcmp(op, "exit")) {
      munmap(ARENA - 4096L * P, (4096L + PAGES) * P);
      answer(process, "0\n");
      _exit(0);
    } else {
      snprintf(text, sizeof text, "%ld\n", run(op, a));
      answer(process, text);
    }
  }
  _exit(0);
}

static int make_objects(const char *folder) {
  for (int object = 0; object < OBJECTS; object++) {
    char path[4096], page[P];
    snprintf(path, sizeof path, "%s/objectXXXXXX", folder);
    objects[object] = object < 2 ? memfd_create("object", MFD_ALLOW_SEALING) : mkstemp(path);
    if (object >= 2) unlink(path);
    for (int n = 0; n < OBJECT_PAGES; n++) {
      memset(page, "AGMS"[object] + n, P);
      if (pwrite(objects[object], page, P, n * P) != P) return 0;
    }
    if (object & 1 && ftruncate(objects[object], OBJECT_PAGES * P - 1000)) return 0;
  }
  return 1;
}

int main(int count, char **arguments) {
  struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_NODEFER};
  sigaction(SIGSEGV, &action, 0);
  sigaction(SIGBUS, &action, 0);
  signal(SIGCHLD, SIG_IGN);
  if (count != 2 || !make_objects(arguments[1])) return 2;
  for (int n = 0; n < PROCESSES; n++)
    if (pipe(commands[n]) || pipe(answers[n])) return 2;
  if (fork() == 0) {
    for (int n = 0; n < PROCESSES; n++) close(commands[n][1]), close(answers[n][0]);
    serve(0);
  }
  char line[256], text[256];
  while (read_line(0, line)) {
    int process = line[0] - '0';
    size_t length = strlen(line + 2);
    line[2 + length] = '\n';
    if (write(commands[process][1], line + 2, length + 1) < 0 || !read_line(answers[process][0], text)) return 1;
    puts(text);
  }
  return 0;
}
