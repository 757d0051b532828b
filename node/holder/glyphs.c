#include "node/holder/glyphs.h"

#include <stddef.h>

static const struct {
	uint32_t first, last;
	int columns;
} ranges[] = {
#define GLYPHS(first, last, columns) {first, last, columns},
#include "node/holder/glyphs.def"
#undef GLYPHS
};

int
glyph_width(uint32_t ch)
{
	size_t low = 0, high = sizeof(ranges) / sizeof(ranges[0]);

	if (ch < 0xa0)
		return ch >= 0x20 && ch < 0x7f ? 1 : -1;
	while (low < high) {
		size_t mid = (low + high) / 2;
		if (ch > ranges[mid].last)
			low = mid + 1;
		else
			high = mid;
	}
	return low < sizeof(ranges) / sizeof(ranges[0]) && ch >= ranges[low].first
		? ranges[low].columns
		: 1;
}

uint32_t
glyph_of_line(uint8_t c)
{
	static const uint16_t lines[] = {' ', 0x25c6, 0x2592, 0x2409, 0x240c, 0x240d, 0x240a,
		0x00b0, 0x00b1, 0x2424, 0x240b, 0x2518, 0x2510, 0x250c, 0x2514, 0x253c, 0x23ba,
		0x23bb, 0x2500, 0x23bc, 0x23bd, 0x251c, 0x2524, 0x2534, 0x252c, 0x2502, 0x2264,
		0x2265, 0x03c0, 0x2260, 0x00a3, 0x00b7};

	return c >= 0x5f && c <= 0x7e ? lines[c - 0x5f] : c;
}
