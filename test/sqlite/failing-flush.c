/* Fails flushes of a -wal while the file that FLUSH_FAULT names exists; "once" in it: only the next. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int faulty(int fd) {
  const char *fault = getenv("FLUSH_FAULT");
  if (fault == NULL || access(fault, F_OK) != 0) return 0;
  char link[64], name[4096];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, name, sizeof name - 1);
  if (length < 4) return 0;
  name[length] = 0;
  if (strcmp(name + length - 4, "-wal") != 0) return 0;
  char mode[8] = "";
  FILE *file = fopen(fault, "r");
  if (file != NULL) {
    if (fgets(mode, sizeof mode, file) == NULL) mode[0] = 0;
    fclose(file);
  }
  if (strncmp(mode, "once", 4) == 0) unlink(fault);
  errno = EIO;
  return 1;
}

int fdatasync(int fd) {
  if (faulty(fd)) return -1;
  return ((int (*)(int))dlsym(RTLD_NEXT, "fdatasync"))(fd);
}

int fsync(int fd) {
  if (faulty(fd)) return -1;
  return ((int (*)(int))dlsym(RTLD_NEXT, "fsync"))(fd);
}
