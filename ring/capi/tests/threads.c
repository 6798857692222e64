/*
 * Eight threads that share a group and a statement: each logs through a writer of its own, and all of them, one after
 * the other, through one that a mutex hands over. Meanwhile each makes mistakes, and must find its own words for them.
 * Run by c.rs, with a shm directory.
 */
#include "hog.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

enum { THREADS = 8, RECORDS = 1000 };

static hog_group *group;
static hog_statement *counted;
static hog_writer *handed_over;
static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;

static void must(int right, const char *what) {
    if (!right) {
        fprintf(stderr, "%s: %s\n", what, hog_last_error());
        exit(1);
    }
}

static void *log_records(void *argument) {
    uint64_t thread = (uint64_t)(uintptr_t)argument;
    char bad_name[] = "/bad?";
    uint64_t number;
    hog_group *none;
    hog_writer *own;

    bad_name[4] = (char)('0' + thread);
    must(hog_writer_open(group, &own) == HOG_OK, "open");
    for (number = 0; number < RECORDS; number++) {
        int status = hog_group_open(bad_name, NULL, &none);

        must(HOG_LOG(own, counted, hog_u64(thread), hog_u64(number)) == HOG_OK, "log");
        pthread_mutex_lock(&turn);
        must(HOG_LOG(handed_over, counted, hog_u64(thread), hog_u64(number)) == HOG_OK, "log in turn");
        pthread_mutex_unlock(&turn);
        must(status == HOG_ERR_ARGUMENT && none == NULL, "refuse a name");
        must(strstr(hog_last_error(), bad_name) != NULL, "words of another thread");
    }
    hog_writer_close(own);
    return NULL;
}

int main(int argc, char **argv) {
    static const hog_field fields[] = {{"thread", HOG_U64}, {"number", HOG_U64}};
    hog_options options = {0};
    pthread_t threads[THREADS];
    int at;

    if (argc != 2)
        return 2;
    options.shm_dir = argv[1];
    must(hog_group_open("g", &options, &group) == HOG_OK, "open the group");
    must(HOG_STATEMENT(&counted, "counted", "$thread counts $number", fields) == HOG_OK, "define");
    must(hog_writer_open(group, &handed_over) == HOG_OK, "open");
    for (at = 0; at < THREADS; at++)
        must(pthread_create(&threads[at], NULL, log_records, (void *)(uintptr_t)at) == 0, "start a thread");
    for (at = 0; at < THREADS; at++)
        must(pthread_join(threads[at], NULL) == 0, "join a thread");
    hog_writer_close(handed_over);
    hog_group_close(group);
    hog_statement_free(counted);
    return 0;
}
