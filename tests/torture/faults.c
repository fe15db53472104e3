/* Breaks a process's file operations on purpose: loaded before the C library's own functions (LD_PRELOAD).

   Operations that change files below one folder are counted. At the chosen one the process is killed, before it is
   carried out or after; or from there on the disk is full, or can't be written to. Whatever is synced to disk is
   copied aside, so that a loss of power can be played: what was never synced is then gone.

   Rust, SQLite, FAISS and Python all come through here, but for what they write through stdio's own buffers (the
   operation then is fwrite) and renames that bypass the C library (the operations before and after them count). */

#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

enum { OFF, COUNT, KILL_BEFORE, KILL_AFTER, FULL, READ_ONLY };

static atomic_int mode = OFF;
static atomic_long count = 0;
static long at = 0;
static _Thread_local long latest = 0; /* of this thread: others go on between an operation and what follows it */
static char root[4096], shadow[4096];
static int journal = -1;

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

/* Everything from here on counts; at operation `when` (from 1 on) `what` happens. `log_path` gets a line for each. */
void faults_arm(const char *folder, const char *aside, const char *log_path, int what, long when) {
    snprintf(root, sizeof root, "%s", folder);
    snprintf(shadow, sizeof shadow, "%s", aside);
    if (journal >= 0) close(journal);
    journal = *log_path ? REAL(open)(log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600) : -1;
    count = 0;
    at = when;
    mode = what;
}

long faults_count(void) { return count; }

static int inside(const char *path) {
    char full[4096];
    if (!root[0] || !path) return 0;
    if (path[0] != '/') {
        if (!getcwd(full, sizeof full)) return 0;
        size_t used = strlen(full);
        snprintf(full + used, sizeof full - used, "/%s", path);
        path = full;
    }
    size_t length = strlen(root);
    if (strncmp(path, root, length) || (path[length] != '/' && path[length])) return 0;
    return strncmp(path + length, "/docs", 5); /* those are the user's, not the program's, to write */
}

static int path_of(int fd, char *path, size_t size) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, size - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return inside(path);
}

/* Inodes are used again, so that a file is known by its inode and the time that it was made. */
static void key_of(int folder, const char *name, char *key, size_t size) {
    struct statx status;
    int flags = AT_SYMLINK_NOFOLLOW | (*name ? 0 : AT_EMPTY_PATH);
    if (statx(folder, name, flags, STATX_INO | STATX_BTIME, &status)) snprintf(key, size, "gone");
    else
        snprintf(key, size, "%llu-%lld-%u", (unsigned long long)status.stx_ino,
                 (long long)status.stx_btime.tv_sec, status.stx_btime.tv_nsec);
}

/* What a file is known by, for whoever puts together what a loss of power left. */
void faults_key(const char *path, char *key, size_t size) { key_of(AT_FDCWD, path, key, size); }

static void note(const char *name, const char *path) {
    char line[4600];
    if (journal < 0) return;
    int length = snprintf(line, sizeof line, "%s\t%s\n", name, path + strlen(root));
    if (REAL(write)(journal, line, length) < 0) return;
}

/* Counts an operation; returns the error that it must fail with, or 0. `grows` says whether it needs space. */
static int before(const char *name, const char *path, int grows) {
    int what = mode;
    if (what == OFF) return 0;
    long number = latest = ++count;
    note(name, path);
    if (what == KILL_BEFORE && number == at) kill(getpid(), SIGKILL);
    if (what == FULL && number >= at && grows) return ENOSPC;
    if (what == READ_ONLY && number >= at) return EROFS;
    return 0;
}

static void after(void) {
    if (mode == KILL_AFTER && latest == at) kill(getpid(), SIGKILL);
}

/* Copies what is now on disk for certain: a file's content, or the names in a folder with their inodes. */
static void keep(int fd) {
    struct stat status;
    char path[4096], key[80], aside[4200], unfinished[4300];
    if (!shadow[0] || fstat(fd, &status)) return;
    if (!path_of(fd, path, sizeof path)) return;
    key_of(fd, "", key, sizeof key);
    snprintf(aside, sizeof aside, "%s/%s", shadow, key);
    snprintf(unfinished, sizeof unfinished, "%s.new", aside);
    int out = REAL(open)(unfinished, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (out < 0) return;
    if (S_ISDIR(status.st_mode)) {
        DIR *folder = opendir(path);
        struct dirent *entry;
        while (folder && (entry = readdir(folder))) {
            char line[600];
            if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..")) continue;
            key_of(fd, entry->d_name, key, sizeof key);
            int length = snprintf(line, sizeof line, "%s %s\n", key, entry->d_name);
            if (REAL(write)(out, line, length) < 0) break;
        }
        if (folder) closedir(folder);
    } else {
        char block[1 << 16];
        ssize_t length;
        int in = REAL(open)(path, O_RDONLY | O_CLOEXEC);
        while (in >= 0 && (length = read(in, block, sizeof block)) > 0)
            if (REAL(write)(out, block, length) < 0) break;
        if (in >= 0) close(in);
    }
    close(out);
    REAL(rename)(unfinished, aside);
}

#define FAIL_IF(error, result) \
    do { int code = (error); if (code) { errno = code; return result; } } while (0)

static int writes(int flags) { return (flags & O_ACCMODE) != O_RDONLY || (flags & (O_CREAT | O_TRUNC)); }

#define OPEN(NAME, DIRECTORY_PARAMETER, DIRECTORY_ARGUMENT)                                     \
    int NAME(DIRECTORY_PARAMETER const char *path, int flags, ...) {                              \
        va_list rest;                                                                            \
        va_start(rest, flags);                                                                   \
        mode_t permission = (flags & (O_CREAT | O_TMPFILE)) ? va_arg(rest, mode_t) : 0;          \
        va_end(rest);                                                                            \
        if (mode == OFF || !writes(flags) || !inside(path))                                      \
            return REAL(NAME)(DIRECTORY_ARGUMENT path, flags, permission);                       \
        int created = (flags & O_CREAT) && access(path, F_OK);                                   \
        FAIL_IF(before(created ? "create" : "open", path, created), -1);                         \
        int fd = REAL(NAME)(DIRECTORY_ARGUMENT path, flags, permission);                         \
        after();                                                                                 \
        return fd;                                                                               \
    }
#define COMMA ,
OPEN(open, , )
OPEN(open64, , )
OPEN(openat, int folder COMMA, folder COMMA)
OPEN(openat64, int folder COMMA, folder COMMA)

#define FOPEN(NAME)                                                                              \
    FILE *NAME(const char *path, const char *how) {                                              \
        if (mode == OFF || how[0] == 'r' || !inside(path)) return REAL(NAME)(path, how);          \
        int created = access(path, F_OK);                                                        \
        FAIL_IF(before(created ? "create" : "open", path, created), NULL);                       \
        FILE *file = REAL(NAME)(path, how);                                                      \
        after();                                                                                 \
        return file;                                                                             \
    }
FOPEN(fopen)
FOPEN(fopen64)

/* A function of an open file: `fd` names it, `grows` says whether it needs space. */
#define ON_FILE(RESULT, NAME, FAILED, GROWS, SYNCS, PARAMETERS, ARGUMENTS)                       \
    RESULT NAME PARAMETERS {                                                                     \
        char path[4096];                                                                         \
        if (mode == OFF || !path_of(fd, path, sizeof path)) return REAL(NAME) ARGUMENTS;          \
        FAIL_IF(before(#NAME, path, GROWS), FAILED);                                             \
        RESULT result = REAL(NAME) ARGUMENTS;                                                    \
        if (SYNCS) keep(fd);                                                                     \
        after();                                                                                 \
        return result;                                                                           \
    }
ON_FILE(ssize_t, write, -1, 1, 0, (int fd, const void *data, size_t size), (fd, data, size))
ON_FILE(ssize_t, pwrite, -1, 1, 0, (int fd, const void *data, size_t size, off_t to), (fd, data, size, to))
ON_FILE(ssize_t, pwrite64, -1, 1, 0, (int fd, const void *data, size_t size, off64_t to), (fd, data, size, to))
ON_FILE(int, ftruncate, -1, 0, 0, (int fd, off_t size), (fd, size))
ON_FILE(int, ftruncate64, -1, 0, 0, (int fd, off64_t size), (fd, size))
ON_FILE(int, fsync, -1, 0, 1, (int fd), (fd))
ON_FILE(int, fdatasync, -1, 0, 1, (int fd), (fd))

size_t fwrite(const void *data, size_t size, size_t items, FILE *file) {
    char path[4096];
    if (mode == OFF || !path_of(fileno(file), path, sizeof path)) return REAL(fwrite)(data, size, items, file);
    FAIL_IF(before("fwrite", path, 1), 0);
    size_t result = REAL(fwrite)(data, size, items, file);
    after();
    return result;
}

/* A function of a path. */
#define ON_PATH(NAME, GROWS, PARAMETERS, ARGUMENTS)                                              \
    int NAME PARAMETERS {                                                                        \
        if (mode == OFF || !inside(path)) return REAL(NAME) ARGUMENTS;                            \
        FAIL_IF(before(#NAME, path, GROWS), -1);                                                 \
        int result = REAL(NAME) ARGUMENTS;                                                       \
        after();                                                                                 \
        return result;                                                                           \
    }
ON_PATH(rename, 0, (const char *path, const char *to), (path, to))
ON_PATH(unlink, 0, (const char *path), (path))
ON_PATH(rmdir, 0, (const char *path), (path))
ON_PATH(mkdir, 1, (const char *path, mode_t permission), (path, permission))
ON_PATH(chmod, 0, (const char *path, mode_t permission), (path, permission))

int access(const char *path, int how) {
    if (mode == READ_ONLY && count + 1 >= at && (how & W_OK) && inside(path)) {
        errno = EROFS;
        return -1;
    }
    return REAL(access)(path, how);
}

int unlinkat(int folder, const char *name, int flags) {
    char path[4096] = "";
    if (mode == OFF) return REAL(unlinkat)(folder, name, flags);
    if (name[0] == '/' || folder == AT_FDCWD) snprintf(path, sizeof path, "%s", name);
    else if (!path_of(folder, path, sizeof path)) return REAL(unlinkat)(folder, name, flags);
    if (!inside(path)) return REAL(unlinkat)(folder, name, flags);
    FAIL_IF(before("unlinkat", path, 0), -1);
    int result = REAL(unlinkat)(folder, name, flags);
    after();
    return result;
}
