/* Calls that make no sense, each of which must be answered by its status and words. Run by c.rs, with a shm directory. */
#include "hog.h"
#include "hog.h" /* May be included twice. */

#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *of_call;

static void expect(int line, int status, int expected, const char *words) {
    if (status == expected && (expected == HOG_OK || strstr(hog_last_error(), words) != NULL))
        return;
    fprintf(stderr, "line %d, %s: status %d, expected %d and \"%s\"; the last error: %s\n", line, of_call, status, expected,
            words, hog_last_error());
    exit(1);
}

#define EXPECT(expected, words, call) (of_call = #call, expect(__LINE__, (call), (expected), (words)))

static hog_group *group;
static hog_writer *writer;
static hog_statement *statement;
static const hog_field fields[] = {{"n", HOG_I32}, {NULL, HOG_TEXT}};

static void groups(const char *shm_dir) {
    hog_options options = {0};
    hog_group *other;

    EXPECT(HOG_ERR_ARGUMENT, "name is null", hog_group_open(NULL, NULL, &other));
    EXPECT(HOG_ERR_ARGUMENT, "group name", hog_group_open("../up", NULL, &other));
    EXPECT(HOG_ERR_ARGUMENT, "not UTF-8", hog_group_open("\xff", NULL, &other));
    options.shm_dir = "/proc";
    EXPECT(HOG_ERR_SHM, "not on tmpfs", hog_group_open("g", &options, &other));
    options.shm_dir = "/nowhere/at/all";
    EXPECT(HOG_ERR_IO, "/nowhere/at/all", hog_group_open("g", &options, &other));
    options.shm_dir = shm_dir;
    options.ring_size = 100000;
    EXPECT(HOG_ERR_ARGUMENT, "ring size", hog_group_open("g", &options, &other));
    options.ring_size = 65536;
    options.flags = 64;
    EXPECT(HOG_ERR_ARGUMENT, "options", hog_group_open("g", &options, &other));
    options.flags = HOG_NO_TIMESTAMPS;
    options.reserved[6] = 1;
    EXPECT(HOG_ERR_ARGUMENT, "options", hog_group_open("g", &options, &other));
    options.reserved[6] = 0;
    options.shm_group = "no such group, surely";
    EXPECT(HOG_ERR_ARGUMENT, "no such group", hog_group_open("g", &options, &other));
    options.shm_group = NULL;
    EXPECT(HOG_ERR_ARGUMENT, "out is null", hog_group_open("g", &options, NULL));
    options.flags = HOG_NO_TIMESTAMPS | HOG_KERNEL_CLOCK;
    EXPECT(HOG_OK, "", hog_group_open("g", &options, &group));
}

static void statements(void) {
    static const hog_field unknown[] = {{"n", 99}};
    hog_statement *other;
    char *name = malloc(70000);

    EXPECT(HOG_ERR_ARGUMENT, "name is null", hog_statement_define(NULL, "", 0, NULL, 0, NULL, 0, &other));
    EXPECT(HOG_ERR_ARGUMENT, "format is null", hog_statement_define("s", NULL, 0, NULL, 0, NULL, 0, &other));
    EXPECT(HOG_ERR_ARGUMENT, "fields is null", hog_statement_define("s", "", 0, NULL, 0, NULL, 1, &other));
    EXPECT(HOG_ERR_ARGUMENT, "number 99", HOG_STATEMENT(&other, "s", "", unknown));
    EXPECT(HOG_ERR_ARGUMENT, "out is null", HOG_STATEMENT(NULL, "s", "", fields));
    memset(name, 'x', 69999);
    name[69999] = 0;
    EXPECT(HOG_ERR_TOO_LONG, "at most 16384", HOG_STATEMENT(&other, name, "", fields));
    free(name);
    EXPECT(HOG_OK, "", HOG_STATEMENT(&statement, "s", "$n $1", fields));
}

static void writers(void) {
    hog_writer *other;

    EXPECT(HOG_ERR_ARGUMENT, "group is null", hog_writer_open(NULL, &other));
    EXPECT(HOG_ERR_ARGUMENT, "out is null", hog_writer_open(group, NULL));
    EXPECT(HOG_ERR_ARGUMENT, "ring name", hog_writer_open_named(group, "a/b", HOG_RESUME_AUTO, &other));
    EXPECT(HOG_ERR_ARGUMENT, "resume", hog_writer_open_named(group, "n", 3, &other));
    EXPECT(HOG_ERR_NOTHING_TO_RESUME, "nothing", hog_writer_open_named(group, "n", HOG_RESUME_REQUIRE, &other));
    EXPECT(HOG_OK, "", hog_writer_open_named(group, "n", HOG_RESUME_AUTO, &writer));
    EXPECT(HOG_ERR_HELD, "held by process", hog_writer_open_named(group, "n", HOG_RESUME_AUTO, &other));
}

static void records(void) {
    const hog_value fitting[] = {hog_i32(7), hog_text("seven")};
    hog_value wild[] = {hog_i32(7), hog_text("seven")};
    char state[1025] = {0};

    EXPECT(HOG_ERR_ARGUMENT, "writer is null", hog_log(NULL, statement, fitting, 2));
    EXPECT(HOG_ERR_ARGUMENT, "statement is null", hog_log(writer, NULL, fitting, 2));
    EXPECT(HOG_ERR_ARGUMENT, "values is null", hog_log(writer, statement, NULL, 2));
    EXPECT(HOG_ERR_ARGUMENT, "cannot stand there", hog_log(writer, statement, fitting, SIZE_MAX));
    EXPECT(HOG_ERR_MISUSE, "1 values for a statement of 2", hog_log(writer, statement, fitting, 1));
    EXPECT(HOG_ERR_MISUSE, "value 0 is of kind 5", HOG_LOG(writer, statement, hog_i64(7), hog_text("seven")));
    wild[1].content.bytes.length = SIZE_MAX;
    EXPECT(HOG_ERR_ARGUMENT, "cannot stand there", hog_log(writer, statement, wild, 2));
    wild[1] = hog_text_n(NULL, 1);
    EXPECT(HOG_ERR_ARGUMENT, "data is null", hog_log(writer, statement, wild, 2));
    EXPECT(HOG_ERR_TOO_LONG, "1025", hog_set_state(writer, state, sizeof state));
    EXPECT(HOG_ERR_ARGUMENT, "state is null", hog_set_state(writer, NULL, 1));
    EXPECT(HOG_OK, "", HOG_LOG(writer, statement, hog_i32(7), hog_text(NULL)));
}

static void transactions(void) {
    const void *state;
    size_t length;
    uint64_t drops, bytes;
    int status;

    EXPECT(HOG_ERR_MISUSE, "no transaction is open", hog_commit(writer));
    EXPECT(HOG_ERR_MISUSE, "no transaction is open", hog_rollback(writer));
    EXPECT(HOG_OK, "", hog_begin(writer));
    EXPECT(HOG_ERR_MISUSE, "a transaction is open", hog_begin(writer));
    EXPECT(HOG_ERR_MISUSE, "a transaction is open", hog_flush(writer));
    EXPECT(HOG_ERR_MISUSE, "a transaction is open", hog_drops(writer, &drops, &bytes));
    EXPECT(HOG_ERR_MISUSE, "a transaction is open", hog_writer_recovered(writer, &state, &length));
    EXPECT(HOG_ERR_MISUSE, "values", HOG_LOG(writer, statement, hog_i32(8)));
    EXPECT(HOG_OK, "", HOG_LOG(writer, statement, hog_i32(8), hog_text("in it")));

    /* A child has neither the ring nor the transaction. */
    if (fork() == 0) {
        EXPECT(HOG_ERR_FORKED, "forked", HOG_LOG(writer, statement, hog_i32(9), hog_text("child")));
        EXPECT(HOG_ERR_FORKED, "forked", hog_commit(writer));
        EXPECT(HOG_ERR_FORKED, "forked", HOG_LOG(writer, statement, hog_i32(9), hog_text("child")));
        hog_writer_close(writer);
        _exit(0);
    }
    if (wait(&status) < 0 || !WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        fprintf(stderr, "the child failed\n");
        exit(1);
    }
    EXPECT(HOG_OK, "", hog_rollback(writer));
    EXPECT(HOG_OK, "", hog_begin(writer));
    EXPECT(HOG_OK, "", hog_commit(writer));
    EXPECT(HOG_OK, "", hog_flush(writer));
    EXPECT(HOG_OK, "", hog_log_at(writer, 12345, statement, (const hog_value[]){hog_i32(10), hog_text("at")}, 2));
    EXPECT(HOG_OK, "", hog_drops(writer, &drops, &bytes));
    EXPECT(HOG_ERR_ARGUMENT, "bytes is null", hog_drops(writer, &drops, NULL));
    EXPECT(HOG_ERR_ARGUMENT, "writer is null", hog_begin(NULL));
}

/* A full ring that nobody drains: the wait ends when the group is stopped. */
static void stopped(void) {
    char text[1000] = {0};
    int status = HOG_OK, number;

    hog_group_stop(group);
    for (number = 0; status == HOG_OK && number < 1000; number++)
        status = HOG_LOG(writer, statement, hog_i32(number), hog_text_n(text, sizeof text));
    EXPECT(HOG_ERR_STOPPED, "stopped", status);
}

int main(int argc, char **argv) {
    if (argc != 2)
        return 2;
    groups(argv[1]);
    statements();
    writers();
    records();
    transactions();
    stopped();

    /* An open transaction goes with its writer; closing nothing is nothing. */
    EXPECT(HOG_OK, "", hog_begin(writer));
    hog_group_close(group);
    hog_writer_close(writer);
    hog_statement_free(statement);
    hog_group_stop(NULL);
    hog_group_close(NULL);
    hog_writer_close(NULL);
    hog_statement_free(NULL);
    return 0;
}
