/* The one thing that is known of the time without any clock. */
#ifndef HAWSER_TRUST_BUILD_TIME_H
#define HAWSER_TRUST_BUILD_TIME_H

#include <stdint.h>

struct hw_clock;

/* When this program was made (microseconds since 1970). */
int64_t build_time(void);

/* The clock's time, never before build_time(): on a machine whose clock lost its battery every
 * certificate would be of the future. */
int64_t build_time_or_later(const struct hw_clock *clock);

#endif
