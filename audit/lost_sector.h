/*
 * What a power cut leaves of a file that was written and not synced: its length and some of its
 * sectors, in any order, with zeros for the others. Who comes upon something that does not verify
 * tells by these zeros that it was never synced, although what comes after it may be whole.
 */
#ifndef HAWSER_AUDIT_LOST_SECTOR_H
#define HAWSER_AUDIT_LOST_SECTOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* p: the n bytes of the file from byte `at` on, where something of `len` bytes should begin.
 * Whether one of its sectors is lost: all zeros, from the sector's beginning or from `at` on to its
 * end, or the file's. */
bool lost_sector(const uint8_t *p, size_t n, uint64_t at, size_t len);

#endif
