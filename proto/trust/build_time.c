#include "proto/trust/build_time.h"

#include "proto/base/clock.h"

int64_t
build_time(void)
{
	return HAWSER_BUILD_TIME * USEC_PER_SEC;
}

int64_t
build_time_or_later(const struct hw_clock *clock)
{
	int64_t now = clock_wall(clock);

	return now < build_time() ? build_time() : now;
}
