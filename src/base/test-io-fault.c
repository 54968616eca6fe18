#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/io-fault.h"
#include "base/time.h"

static char dir[64];

static int make_dir(void **state) {
    (void) state;
    (void) snprintf(dir, sizeof dir, "/tmp/bp-io-fault-XXXXXX");
    return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state) {
    char path[128];

    (void) state;
    (void) snprintf(path, sizeof path, "%s/a.mcap", dir);
    (void) unlink(path);
    (void) snprintf(path, sizeof path, "%s/b.txt", dir);
    (void) unlink(path);
    return rmdir(dir);
}

static struct bp_io_fault *new_fault(const char *spec) {
    struct bp_io_fault *f = NULL;
    struct bp_error err = { 0 };

    if (bp_io_fault_new(&bp_io_posix, spec, &f, &err) < 0)
        fail_msg("%s", err.text);
    return f;
}

static int open_file(const struct bp_io *io, const char *name) {
    char path[128];

    (void) snprintf(path, sizeof path, "%s/%s", dir, name);
    return io->open(io->ctx, path, O_RDWR | O_CREAT, 0644);
}

static void passes_through(void **state) {
    BP_CLEANUP(bp_io_fault_freep) struct bp_io_fault *f = new_fault("");
    const struct bp_io *io = bp_io_fault_io(f);
    int fd = open_file(io, "a.mcap");
    char got[4] = "";

    (void) state;
    assert_true(fd >= 0);
    assert_int_equal(io->pwrite(io->ctx, fd, "abc", 3, 0), 0);
    assert_int_equal(io->pread(io->ctx, fd, got, 4, 0), 3);
    assert_string_equal(got, "abc");
    assert_int_equal(io->size(io->ctx, fd), 3);
    assert_int_equal(io->truncate(io->ctx, fd, 0), 0);
    assert_int_equal(io->datasync(io->ctx, fd), 0);
    assert_int_equal(io->close(io->ctx, fd), 0);
    assert_int_equal(bp_io_fault_calls(f, BP_IO_PWRITE), 1);
    assert_int_equal(bp_io_fault_calls(f, BP_IO_OPS_N_), 7);
    assert_int_equal(bp_io_fault_hits(f), 0);
}

/* One letter per datasync of a.mcap: "." came through, "E" EIO, "N" ENOSPC. */
static void chosen_calls_fail(void **state) {
    static const struct {
        const char *spec, *want;
    } cases[] = {
        { "op=datasync,errno=EIO", "EEEEEEEE" },
        { "op=datasync,at=3,errno=EIO", "..E....." },
        { "op=datasync,every=3,errno=EIO", "..E..E.." },
        { "op=datasync,from=6,errno=ENOSPC", ".....NNN" },
        { "op=datasync,from=2,to=4,errno=28", ".NNN...." },
        { "op=datasync,from=2,every=2,errno=EIO", "..E.E.E." },
        { "op=datasync,at=2,errno=EIO;op=*,at=8,errno=ENOSPC", ".E....N." }, /* open is the first */
        { "op=datasync,path=*.mcap,at=1,errno=EIO", "E......." },
        { "op=datasync,path=a.*,at=1,errno=EIO", "E......." },
        { "op=datasync,path=*.txt,errno=EIO", "........" },
        { "op=sync,errno=EIO", "........" },
        { "op=datasync,at=1,delay=1ns;op=datasync,at=1,errno=EIO", "E......." },
        { "op=datasync,at=1,errno=EIO;op=datasync,to=2,errno=ENOSPC", "EN......" },
    };

    (void) state;
    for (size_t i = 0; i < BP_COUNT(cases); i++) {
        BP_CLEANUP(bp_io_fault_freep) struct bp_io_fault *f = new_fault(cases[i].spec);
        const struct bp_io *io = bp_io_fault_io(f);
        int fd = open_file(io, "a.mcap");
        char got[9] = "";

        assert_true(fd >= 0);
        for (int k = 0; k < 8; k++) {
            int r = io->datasync(io->ctx, fd);

            got[k] = r == 0 ? '.' : r == -EIO ? 'E' : r == -ENOSPC ? 'N' : '?';
        }
        assert_string_equal(got, cases[i].want);
        assert_int_equal(io->close(io->ctx, fd), 0);
    }
}

static void files_are_told_apart(void **state) {
    BP_CLEANUP(bp_io_fault_freep)
    struct bp_io_fault *f = new_fault("op=pwrite,path=*.mcap,errno=EIO");
    const struct bp_io *io = bp_io_fault_io(f);
    int a = open_file(io, "a.mcap"), b = open_file(io, "b.txt"), again;

    (void) state;
    assert_int_equal(io->pwrite(io->ctx, a, "x", 1, 0), -EIO);
    assert_int_equal(io->pwrite(io->ctx, b, "x", 1, 0), 0);
    assert_int_equal(io->close(io->ctx, a), 0);
    again = open_file(io, "b.txt"); /* the number of a, but not its path */
    assert_int_equal(again, a);
    assert_int_equal(io->pwrite(io->ctx, again, "x", 1, 0), 0);
    assert_int_equal(io->close(io->ctx, again), 0);
    assert_int_equal(io->close(io->ctx, b), 0);
}

static void other_actions(void **state) {
    BP_CLEANUP(bp_io_fault_freep)
    struct bp_io_fault *f =
        new_fault("op=pwrite,at=1,half,errno=EIO;op=pwrite,at=2,skip;op=free_bytes,value=4096;"
                  "op=datasync,delay=30ms;op=close,errno=EIO;op=rename,path=new,errno=EROFS");
    const struct bp_io *io = bp_io_fault_io(f);
    int fd = open_file(io, "b.txt");
    bp_ns_t before;

    (void) state;
    assert_int_equal(io->truncate(io->ctx, fd, 0), 0);
    assert_int_equal(io->pwrite(io->ctx, fd, "123456", 6, 0), -EIO);
    assert_int_equal(io->size(io->ctx, fd), 3);
    assert_int_equal(io->pwrite(io->ctx, fd, "123456", 6, 0), 0);
    assert_int_equal(io->size(io->ctx, fd), 3);
    assert_int_equal(io->free_bytes(io->ctx, dir), 4096);
    before = bp_mono_ns();
    assert_int_equal(io->datasync(io->ctx, fd), 0);
    assert_true(bp_mono_ns() - before >= 30 * BP_MS);
    assert_int_equal(io->rename(io->ctx, "old", "some/new"), -EROFS);
    assert_int_equal(bp_io_fault_hits(f), 5);
    assert_int_equal(io->close(io->ctx, fd), -EIO);
    assert_int_equal(fcntl(fd, F_GETFD), -1); /* closed all the same */
}

static void rules_can_be_replaced(void **state) {
    BP_CLEANUP(bp_io_fault_freep) struct bp_io_fault *f = new_fault("op=pwrite,errno=ENOSPC");
    const struct bp_io *io = bp_io_fault_io(f);
    int fd = open_file(io, "b.txt");
    struct bp_error err;

    (void) state;
    assert_int_equal(io->pwrite(io->ctx, fd, "x", 1, 0), -ENOSPC);
    assert_int_equal(bp_io_fault_set(f, "", &err), 0);
    assert_int_equal(io->pwrite(io->ctx, fd, "x", 1, 0), 0);
    assert_int_equal(io->close(io->ctx, fd), 0);
}

static void refuses_bad_rules(void **state) {
    static const char *const specs[] = {
        "op=dance,errno=EIO",     "errno=EWHAT",    "op=sync",
        "op=sync,at=0,errno=EIO", "op=open,skip",   "op=sync,value=3",
        "op=sync,half,errno=EIO", "op=pwrite,half", "skip=1,op=sync",
        "op=sync,delay=soon",
    };

    (void) state;
    for (size_t i = 0; i < BP_COUNT(specs); i++) {
        struct bp_io_fault *f = NULL;
        struct bp_error err = { 0 };

        assert_int_equal(bp_io_fault_new(&bp_io_posix, specs[i], &f, &err), BP_ECONFIG);
        assert_null(f);
        assert_true(bp_starts_with(err.text, "fault rule '"));
    }
}

static void *count_calls(void *arg) {
    const struct bp_io *io = arg;

    for (int i = 0; i < 1000; i++) {
        int fd = io->open(io->ctx, "/dev/null", O_WRONLY, 0);

        (void) io->pwrite(io->ctx, fd, "x", 1, 0);
        (void) io->close(io->ctx, fd);
    }
    return NULL;
}

static void counts_across_threads(void **state) {
    BP_CLEANUP(bp_io_fault_freep)
    struct bp_io_fault *f = new_fault("op=pwrite,every=10,errno=EIO");
    pthread_t threads[4];

    (void) state;
    for (int i = 0; i < 4; i++)
        assert_int_equal(
            pthread_create(&threads[i], NULL, count_calls, (void *) (uintptr_t) bp_io_fault_io(f)),
            0);
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(bp_io_fault_calls(f, BP_IO_PWRITE), 4000);
    assert_int_equal(bp_io_fault_hits(f), 400);
}

static void kills(void **state) {
    pid_t pid = fork();
    int status;

    (void) state;
    if (pid == 0) {
        const struct bp_io *io = bp_io_fault_io(new_fault("op=unlink,at=2,kill"));

        (void) io->unlink(io->ctx, "/nonexistent");
        (void) io->unlink(io->ctx, "/nonexistent");
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == 9);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(passes_through),        cmocka_unit_test(chosen_calls_fail),
        cmocka_unit_test(files_are_told_apart),  cmocka_unit_test(other_actions),
        cmocka_unit_test(rules_can_be_replaced), cmocka_unit_test(refuses_bad_rules),
        cmocka_unit_test(counts_across_threads), cmocka_unit_test(kills),
    };

    return cmocka_run_group_tests_name("base/io-fault", tests, make_dir, remove_dir);
}
