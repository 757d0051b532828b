/* CRC-32C (Castagnoli), as iSCSI and ext4 use it: tells a torn record from a whole one. */
#ifndef HAWSER_AUDIT_CRC32C_H
#define HAWSER_AUDIT_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* Of n more bytes; `crc` is 0, or what an earlier call returned for the bytes before. */
uint32_t crc32c(uint32_t crc, const void *p, size_t n);

/* The same without the processor's instructions, for tests. */
uint32_t crc32c_portable(uint32_t crc, const void *p, size_t n);

#endif
