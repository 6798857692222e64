/*
 * hog.h: log structured records into hog's shared-memory rings.
 *
 *     hog_group *group;
 *     hog_writer *writer;
 *     hog_statement *served;
 *     static const hog_field fields[] = {{"path", HOG_TEXT}, {"status", HOG_I32}};
 *
 *     if (hog_group_open("web", NULL, &group) != HOG_OK ||
 *         hog_writer_open(group, &writer) != HOG_OK ||
 *         HOG_STATEMENT(&served, "served", "$path gave $status", fields) != HOG_OK)
 *         return fail(hog_last_error());
 *     HOG_LOG(writer, served, hog_text("/index.html"), hog_i32(200));
 *
 * Functions that can fail return HOG_OK or one of HOG_ERR_...; hog_last_error() has the words of this thread's last
 * failure. Text is UTF-8.
 *
 * Threads: a group and a statement may be used by any number at the same time. A writer may be handed from one thread to
 * another, but only one may be in a call with it at any moment: best, each opens its own. Nobody notices if that rule is
 * broken, and what the ring holds then is not to be relied on.
 *
 * Cost: a record of a text and two numbers took 45 ns where it was measured, and 25 ns with HOG_NO_TIMESTAMPS: the rest
 * is for asking the clock. No lock, no allocation, no system call, except for a statement's first record in a ring, for
 * one that is very long, for one that finds the ring full, and to wake a drainer that sleeps.
 *
 * Made by cbindgen from the source in ring/capi/src. Do not edit: `just header` makes it anew.
 */

#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

// Done. In an unreliable group also: dropped, for want of room, and counted.
#define HOG_OK 0

// An argument is not what it must be: a null pointer, a bad name or size, a text that is not UTF-8, an unknown type.
#define HOG_ERR_ARGUMENT 1

// The call does not fit what was called before: a commit without a transaction, values that are not those of the
// statement.
#define HOG_ERR_MISUSE 2

// A record, transaction, definition or state is longer than may be.
#define HOG_ERR_TOO_LONG 3

// A living process has the ring of this name.
#define HOG_ERR_HELD 4

// HOG_RESUME_REQUIRE, and there is nothing sound to resume from.
#define HOG_ERR_NOTHING_TO_RESUME 5

// Shared memory is full, is no tmpfs, or cannot be shared as asked; or this process writes too many rings.
#define HOG_ERR_SHM 6

// The ring cannot be used any more: it was condemned by its reader, or something else wrote into it.
#define HOG_ERR_RING 7

// This is a forked child, and the named ring or the transaction stays with its parent.
#define HOG_ERR_FORKED 8

// hog_group_stop was called while the ring was full.
#define HOG_ERR_STOPPED 9

// The kernel refused something.
#define HOG_ERR_IO 10

// A mistake in this library. Close the writer or group that was used.
#define HOG_ERR_INTERNAL 11

// True or false.
#define HOG_BOOL 1

// A signed integer of 8 bits.
#define HOG_I8 2

// A signed integer of 16 bits.
#define HOG_I16 3

// A signed integer of 32 bits.
#define HOG_I32 4

// A signed integer of 64 bits.
#define HOG_I64 5

// An unsigned integer of 8 bits.
#define HOG_U8 6

// An unsigned integer of 16 bits.
#define HOG_U16 7

// An unsigned integer of 32 bits.
#define HOG_U32 8

// An unsigned integer of 64 bits.
#define HOG_U64 9

// A float of 32 bits.
#define HOG_F32 10

// A float of 64 bits.
#define HOG_F64 11

// Text: bytes, by convention UTF-8.
#define HOG_TEXT 12

// Bytes that are no text: readers see numbers.
#define HOG_BYTES 13

// A time: microseconds since 1970.
#define HOG_TIME 14

// For the flags of a statement: its records are meant to be read as text, by the format.
#define HOG_HLOG 1

// For hog_options.flags: drop and count when a ring is full, instead of waiting.
#define HOG_UNRELIABLE 1

// For hog_options.flags: do not stamp records with the time, which costs as much as the rest of a call.
#define HOG_NO_TIMESTAMPS 2

// For hog_options.flags: ask the kernel for the time of each record, instead of once a millisecond and the processor's counter in
// between: slower, but exact, and a clock that is set is followed at once.
#define HOG_KERNEL_CLOCK 4

// Take over the ring that an earlier run left under the name if it has a sound state, otherwise make a new one.
#define HOG_RESUME_AUTO 0

// Take it over, or fail with HOG_ERR_NOTHING_TO_RESUME and touch nothing.
#define HOG_RESUME_REQUIRE 1

// Make a new one. What the old one still holds is drained all the same.
#define HOG_RESUME_OFF 2

// A log that this process writes to. Any number of threads may use one at the same time.
typedef struct hog_group hog_group;

// A call site that logs. Any number of threads may use one at the same time.
typedef struct hog_statement hog_statement;

// Writes one ring. One thread uses it at a time; best, each thread opens its own.
typedef struct hog_writer hog_writer;

// A field of a statement.
typedef struct hog_field {
    // Its name, by which the format may ask for it; NULL for none.
    const char *name;
    // HOG_BOOL to HOG_TIME.
    uint32_t kind;
} hog_field;

// What a program wants of its rings. All zeros are the defaults.
typedef struct hog_options {
    // The directory on tmpfs below which rings lie. NULL: /dev/shm.
    const char *shm_dir;
    // Bytes of data in a new ring, a power of two from 64 KiB to 1 GiB. 0: 1 MiB.
    uint64_t ring_size;
    // Name or number of the Unix group that may use the rings as well. NULL: none.
    const char *shm_group;
    // Any of HOG_UNRELIABLE, HOG_NO_TIMESTAMPS and HOG_KERNEL_CLOCK, or none.
    uint32_t flags;
    // Zeros.
    uint32_t reserved[7];
} hog_options;

// Bytes of the program.
typedef struct hog_bytes {
    // The first; NULL only if there are none.
    const void *data;
    // How many.
    size_t length;
} hog_bytes;

// What a value is, by its kind.
typedef union hog_content {
    // HOG_I8 to HOG_I64, and HOG_TIME.
    int64_t i;
    // HOG_U8 to HOG_U64; HOG_BOOL: 0 is false, anything else true.
    uint64_t u;
    // HOG_F32 and HOG_F64.
    double f;
    // HOG_TEXT and HOG_BYTES.
    struct hog_bytes bytes;
} hog_content;

// A value to be logged. Make it by the function of its kind: hog_bool, hog_i64, hog_text and so on.
typedef struct hog_value {
    // HOG_BOOL to HOG_TIME.
    uint32_t kind;
    // The value itself.
    union hog_content content;
} hog_value;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// What the last call of this thread that failed has to say, in words; empty if none failed yet. Valid until the next
// failure in this thread, or its end.
const char *hog_last_error(void);

// Defines a statement. Do it once for each call site, and keep it: a statement that is freed leaves its number behind.
//
// In `format`, $0, $1 and so on stand for the fields in order, $name for a named one, $$ for a dollar sign. `flags` is
// HOG_HLOG or 0. `file` may be NULL. If the call fails, `*out` is NULL. The macro HOG_STATEMENT fills in what the compiler knows.
//
// # Safety
// All texts end with NUL; `fields` points at `count` fields; `out` is where the statement's pointer goes.
int hog_statement_define(const char *name,
                         const char *format,
                         uint64_t flags,
                         const char *file,
                         uint32_t line,
                         const struct hog_field *fields,
                         size_t count,
                         struct hog_statement **out);

// Frees a statement. What was logged by it stays readable. NULL is nothing.
//
// # Safety
// `statement` is NULL or came from hog_statement_define, and is used no more.
void hog_statement_free(struct hog_statement *statement);

// Opens the group `name`: 1 to 64 of A-Z a-z 0-9 . _ -, not beginning with a dot. `options` may be NULL.
// If the call fails, `*out` is NULL.
//
// # Safety
// All texts end with NUL; `options` is NULL or points at options; `out` is where the group's pointer goes.
int hog_group_open(const char *name, const struct hog_options *options, struct hog_group **out);

// Ends every wait for room in this group's rings with HOG_ERR_STOPPED, within 100 ms, now and from now on. A signal
// handler may call it.
//
// # Safety
// `group` is NULL or came from hog_group_open.
void hog_group_stop(const struct hog_group *group);

// Closes a group. Writers that were opened in it go on. NULL is nothing.
//
// # Safety
// `group` is NULL or came from hog_group_open, and is used no more.
void hog_group_close(struct hog_group *group);

// Opens a writer with a ring of its own, which nobody resumes. After a fork the child's first call makes it another.
// If the call fails, `*out` is NULL.
//
// # Safety
// `group` is NULL or came from hog_group_open; `out` is where the writer's pointer goes.
int hog_writer_open(const struct hog_group *group,
                    struct hog_writer **out);

// Opens the writer of the ring `name`, which outlives this run once a state is set: the next run goes on with it.
// `resume` is HOG_RESUME_AUTO, HOG_RESUME_REQUIRE or HOG_RESUME_OFF. If the call fails, `*out` is NULL.
//
// # Safety
// `group` is NULL or came from hog_group_open; `name` ends with NUL; `out` is where the writer's pointer goes.
int hog_writer_open_named(const struct hog_group *group,
                          const char *name,
                          uint32_t resume,
                          struct hog_writer **out);

// What the run before this one left, if this writer took its ring over: `*state` is NULL if it did not, otherwise
// points at `*length` bytes, until the writer is closed. Not within a transaction.
//
// # Safety
// `writer` is NULL or came from hog_writer_open or hog_writer_open_named; `state` and `length` are places for the answer.
int hog_writer_recovered(struct hog_writer *writer,
                         const void **state,
                         size_t *length);

// Logs one record, stamped with the time if the group wants that. Outside of a transaction it is committed when the call
// returns HOG_OK: no end of this process can take it back. Within one, it is when hog_commit returns HOG_OK.
//
// `values` are as many as the statement has fields, each of the kind of its field. The macro HOG_LOG counts them.
//
// # Safety
// `writer` and `statement` are NULL or came from this library; `values` points at `count` values; their texts and bytes
// are there.
int hog_log(struct hog_writer *writer,
            const struct hog_statement *statement,
            const struct hog_value *values,
            size_t count);

// As hog_log, with a time of the caller's: nanoseconds since 1970.
//
// # Safety
// As hog_log.
int hog_log_at(struct hog_writer *writer,
               uint64_t time_ns,
               const struct hog_statement *statement,
               const struct hog_value *values,
               size_t count);

// Begins a transaction: the records logged until hog_commit appear together or not at all.
//
// # Safety
// `writer` is NULL or came from this library.
int hog_begin(struct hog_writer *writer);

// Commits the open transaction. The transaction is over, whatever the call returns; if not HOG_OK, nothing of it is
// committed.
//
// # Safety
// `writer` is NULL or came from this library.
int hog_commit(struct hog_writer *writer);

// Forgets the open transaction.
//
// # Safety
// `writer` is NULL or came from this library.
int hog_rollback(struct hog_writer *writer);

// Puts in the resume state, at most 1024 bytes, that becomes valid with the next record, or with the open transaction.
// It makes a named ring one that the next run takes over.
//
// # Safety
// `writer` is NULL or came from this library; `state` points at `length` bytes.
int hog_set_state(struct hog_writer *writer,
                  const void *state,
                  size_t length);

// Wakes the drainer. Records are committed without it; they reach the drainer at its next poll. Not within a transaction.
//
// # Safety
// `writer` is NULL or came from this library.
int hog_flush(struct hog_writer *writer);

// Totals of what was dropped in this ring for want of room, by earlier runs too. Not within a transaction.
//
// # Safety
// `writer` is NULL or came from this library; `records` and `bytes` are places for the answer.
int hog_drops(struct hog_writer *writer, uint64_t *records, uint64_t *bytes);

// Closes a writer and its ring; an open transaction is forgotten. What was committed is drained all the same. NULL is
// nothing.
//
// # Safety
// `writer` is NULL or came from this library, and is used no more.
void hog_writer_close(struct hog_writer *writer);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

/* Values, by their kind. The bytes of hog_text, hog_text_n and hog_bytes_n are read during hog_log, and not kept. */

static inline hog_value hog_signed_(uint32_t kind, int64_t i) {
    hog_value value;
    value.kind = kind;
    value.content.i = i;
    return value;
}

static inline hog_value hog_unsigned_(uint32_t kind, uint64_t u) {
    hog_value value;
    value.kind = kind;
    value.content.u = u;
    return value;
}

static inline hog_value hog_float_(uint32_t kind, double f) {
    hog_value value;
    value.kind = kind;
    value.content.f = f;
    return value;
}

static inline hog_value hog_counted_(uint32_t kind, const void *data, size_t length) {
    hog_value value;
    value.kind = kind;
    value.content.bytes.data = data;
    value.content.bytes.length = length;
    return value;
}

static inline hog_value hog_bool(bool truth) { return hog_unsigned_(HOG_BOOL, truth ? 1 : 0); }
static inline hog_value hog_i8(int8_t number) { return hog_signed_(HOG_I8, number); }
static inline hog_value hog_i16(int16_t number) { return hog_signed_(HOG_I16, number); }
static inline hog_value hog_i32(int32_t number) { return hog_signed_(HOG_I32, number); }
static inline hog_value hog_i64(int64_t number) { return hog_signed_(HOG_I64, number); }
static inline hog_value hog_u8(uint8_t number) { return hog_unsigned_(HOG_U8, number); }
static inline hog_value hog_u16(uint16_t number) { return hog_unsigned_(HOG_U16, number); }
static inline hog_value hog_u32(uint32_t number) { return hog_unsigned_(HOG_U32, number); }
static inline hog_value hog_u64(uint64_t number) { return hog_unsigned_(HOG_U64, number); }
static inline hog_value hog_f32(float number) { return hog_float_(HOG_F32, number); }
static inline hog_value hog_f64(double number) { return hog_float_(HOG_F64, number); }
/* Microseconds since 1970. */
static inline hog_value hog_time(int64_t microseconds) { return hog_signed_(HOG_TIME, microseconds); }
/* Up to the NUL; NULL is the empty text. */
static inline hog_value hog_text(const char *text) {
    return hog_counted_(HOG_TEXT, text, text == NULL ? 0 : strlen(text));
}
static inline hog_value hog_text_n(const char *text, size_t length) { return hog_counted_(HOG_TEXT, text, length); }
static inline hog_value hog_bytes_n(const void *bytes, size_t length) { return hog_counted_(HOG_BYTES, bytes, length); }

/* Defines a statement of an array of fields, here in the source. */
#define HOG_STATEMENT(out, name, format, fields)                                                                \
    hog_statement_define((name), (format), HOG_HLOG, __FILE__, __LINE__, (fields),                              \
                         sizeof(fields) / sizeof((fields)[0]), (out))

/* Logs one record: HOG_LOG(writer, statement, hog_text("a"), hog_i32(1)). At least one value. */
#ifdef __cplusplus
template <typename... Values>
inline int hog_log_values_(hog_writer *writer, const hog_statement *statement, Values... values) {
    const hog_value all[] = {values...};
    return hog_log(writer, statement, all, sizeof...(values));
}
#define HOG_LOG(writer, statement, ...) hog_log_values_((writer), (statement), __VA_ARGS__)
#else
#define HOG_LOG(writer, statement, ...)                                                                         \
    hog_log((writer), (statement), (const hog_value[]){__VA_ARGS__},                                            \
            sizeof((const hog_value[]){__VA_ARGS__}) / sizeof(hog_value))
#endif
