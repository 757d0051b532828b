/* What the two halves of pack.h share. */
#ifndef HAWSER_CORE_PACK_PRIVATE_H
#define HAWSER_CORE_PACK_PRIVATE_H

#include "relay/core/pack.h"

#define PACK_MAGIC	"hawser backup 1\n"
#define PACK_MAGIC_LEN	16
#define PACK_MAGIC_SAME 14 /* of them, in every version */
#define PACK_AAD	"hawser backup 1"
#define PACK_PIECE	(64 * 1024)
#define PACK_LAST	0x80000000u
#define PACK_LOCKED_MAX 1024
#define PACK_BOX_MAX	(BOX_OVERHEAD(BOX_READERS_MAX) + SECRET_KEY_LEN)

/* What a piece is bound to: the head's hash, and whether it is the last. */
struct pack_bound {
	uint8_t head[SHA256_LEN];
	uint8_t last;
};

#endif
