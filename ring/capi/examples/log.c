/*
 * Logs typed records, a transaction, and a state from which the next run goes on: the C twin of ring/examples/log.rs.
 *
 *     cargo build --release -p hog-ring-capi
 *     cc -I ring/capi/include ring/capi/examples/log.c target/release/libhog_ring_capi.a -lpthread -ldl -lm -o log
 *     ./log example
 *
 * Kill it at any time and run it again: it goes on right after the last number that it committed. What it logs waits in
 * its ring until `hog batchsend -g example` drains it.
 */
#include "hog.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* Ends the program with the library's words if a call failed. */
static void must(int status, const char *what) {
    if (status != HOG_OK) {
        fprintf(stderr, "%s: %s (status %d)\n", what, hog_last_error(), status);
        exit(1);
    }
}

/* Where the run before this one stopped; 0 if there was none. */
static uint64_t go_on(hog_writer *writer) {
    const void *state;
    size_t length;
    uint64_t first = 0;

    must(hog_writer_recovered(writer, &state, &length), "look for a state");
    if (state != NULL && length == sizeof first)
        memcpy(&first, state, sizeof first);
    return first;
}

int main(int argc, char **argv) {
    static const hog_field started_fields[] = {{"program", HOG_TEXT}, {"share", HOG_F64}, {"again", HOG_BOOL}};
    static const hog_field square_fields[] = {{"number", HOG_U64}, {"square", HOG_U64}};
    hog_statement *started, *square, *cube;
    hog_options options = {0};
    hog_group *group;
    hog_writer *writer;
    uint64_t first, number, count = 1000;

    if (argc < 2) {
        fprintf(stderr, "usage: %s GROUP [SHM-DIR [COUNT]]\n", argv[0]);
        return 2;
    }
    if (argc > 2)
        options.shm_dir = argv[2];
    if (argc > 3)
        count = strtoull(argv[3], NULL, 10);

    /* Once for each call site. */
    must(HOG_STATEMENT(&started, "started", "$program runs, again: $again", started_fields), "define started");
    must(HOG_STATEMENT(&square, "square", "the square of $number is $square", square_fields), "define square");
    must(HOG_STATEMENT(&cube, "cube", "the cube of $0 is $1", square_fields), "define cube");

    /* A named ring is taken over by the next run; hog_writer_open would make one that is not. */
    must(hog_group_open(argv[1], &options, &group), "open the group");
    must(hog_writer_open_named(group, "squares", HOG_RESUME_AUTO, &writer), "open the writer");
    first = go_on(writer);

    /* Committed when the call returns, whatever happens to this process. */
    must(HOG_LOG(writer, started, hog_text(argv[0]), hog_f64(0.5), hog_bool(first != 0)), "log");

    for (number = first; number < first + count; number++) {
        uint64_t next = number + 1;

        /* Both records and the state appear together, or none of them. */
        must(hog_begin(writer), "begin");
        must(HOG_LOG(writer, square, hog_u64(number), hog_u64(number * number)), "log");
        must(HOG_LOG(writer, cube, hog_u64(number), hog_u64(number * number * number)), "log");
        must(hog_set_state(writer, &next, sizeof next), "set the state");
        must(hog_commit(writer), "commit");
    }
    printf("logged %" PRIu64 " to %" PRIu64 "\n", first, first + count - 1);

    hog_writer_close(writer);
    hog_group_close(group);
    hog_statement_free(started);
    hog_statement_free(square);
    hog_statement_free(cube);
    return 0;
}
