#include "audit/lost_sector.h"

#define SECTOR 512

bool
lost_sector(const uint8_t *p, size_t n, uint64_t at, size_t len)
{
	size_t end;

	for (size_t i = 0; i < n && i < len; i = end) {
		bool zeros = true;
		end = i + SECTOR - (size_t)((at + i) % SECTOR);
		end = end < n ? end : n;
		for (size_t k = i; zeros && k < end; k++)
			zeros = p[k] == 0;
		if (zeros)
			return true;
	}
	return false;
}
