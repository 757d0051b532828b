/* Spans of time as people write and read them. Pure functions. */
#ifndef HAWSER_CLIENT_DURATION_H
#define HAWSER_CLIENT_DURATION_H

#include <stddef.h>
#include <stdint.h>

/* "90", "90s", "1.5s", "15m", "24h", "7d" in microseconds; HW_EVALIDATION. */
int duration_parse(int64_t *usec, const char *text);
/* The same, or "MM:SS" and "HH:MM:SS". */
int duration_parse_clock(int64_t *usec, const char *text);

/* One unit: "now" below two seconds, "45s", "4m", "3h", "2d". */
#define DURATION_TEXT 24
void duration_format(char out[DURATION_TEXT], int64_t usec);
/* "00:01:02". */
void duration_format_clock(char out[DURATION_TEXT], int64_t usec);

#endif
