// Logs one record of every kind from C++. Build it as log.c, with c++.
#include "hog.h"

#include <cstdio>
#include <string>

int main(int argc, char **argv) {
    static const hog_field fields[] = {
        {"truth", HOG_BOOL}, {"i8", HOG_I8},   {"i16", HOG_I16}, {"i32", HOG_I32},    {"i64", HOG_I64},
        {"u8", HOG_U8},      {"u16", HOG_U16}, {"u32", HOG_U32}, {"u64", HOG_U64},    {"f32", HOG_F32},
        {"f64", HOG_F64},    {"at", HOG_TIME}, {"text", HOG_TEXT}, {"bytes", HOG_BYTES}};
    hog_options options = {};
    hog_group *group = nullptr;
    hog_writer *writer = nullptr;
    hog_statement *every = nullptr;
    const std::string text = "twelve \xc3\xa9";
    const unsigned char bytes[] = {0, 255};

    options.shm_dir = argc > 2 ? argv[2] : nullptr;
    int status = hog_group_open(argc > 1 ? argv[1] : "example", &options, &group);
    if (status == HOG_OK)
        status = hog_writer_open(group, &writer);
    if (status == HOG_OK)
        status = HOG_STATEMENT(&every, "every", "", fields);
    if (status == HOG_OK)
        status = HOG_LOG(writer, every, hog_bool(true), hog_i8(-1), hog_i16(-2), hog_i32(-3), hog_i64(-4),
                         hog_u8(255), hog_u16(65535), hog_u32(4294967295u), hog_u64(18446744073709551615ull),
                         hog_f32(1.5f), hog_f64(-2.5), hog_time(1600000000000000), hog_text_n(text.data(), text.size()),
                         hog_bytes_n(bytes, sizeof bytes));
    if (status != HOG_OK)
        std::fprintf(stderr, "%s\n", hog_last_error());
    hog_writer_close(writer);
    hog_statement_free(every);
    hog_group_close(group);
    return status == HOG_OK ? 0 : 1;
}
