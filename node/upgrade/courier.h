/*
 * What hawser-node-upgrade asks of the agent that runs, and the answer: one message each of a fixed
 * layout, over DIR/upgrade.sock (SOCK_SEQPACKET). It answers root and the agent's own user alone,
 * one question after the other. A piece of a release follows its answer in the same message.
 */
#ifndef HAWSER_NODE_UPGRADE_COURIER_H
#define HAWSER_NODE_UPGRADE_COURIER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/trust/release.h"

#define COURIER_SOCKET	  "upgrade.sock"
#define COURIER_MAGIC	  UINT32_C(0x48575550)
#define COURIER_VERSION	  1
#define COURIER_PIECE_MAX 131072
#define COURIER_ID_MAX	  65 /* of a release, 64 hex digits and a NUL */
#define COURIER_TEXT_MAX  512

enum courier_kind {
	COURIER_STATE = 1, /* who runs, and whether it has reached the relay */
	COURIER_FETCH,	   /* a piece of a release, of the relay */
	COURIER_TEST,	   /* whether a program starts on a terminal, and a file is written */
	COURIER_AGAIN,	   /* the agent ends, and starts again: answered before */
};

/* Texts end in NUL, and all after it is zero. */
struct courier_ask {
	uint32_t magic;
	uint16_t version, kind;
	uint64_t offset;
	char release[COURIER_ID_MAX]; /* empty: the newest one of that version, or of all */
	char wanted[RELEASE_VERSION_MAX];
	char architecture[RELEASE_ARCH_MAX];
	char zero[5];
};

struct courier_answer {
	uint32_t magic;
	uint16_t version, kind; /* of the question */
	int32_t code;		/* HW_E*, with its sentence in text; 0 */
	uint32_t len;		/* of the piece that follows */
	uint64_t size;		/* of the whole release */
	char release[COURIER_ID_MAX];
	char agent[RELEASE_VERSION_MAX]; /* the version that runs */
	uint8_t connected;		 /* 0 or 1; when 0, text says why */
	char text[COURIER_TEXT_MAX];
	char zero[5];
};

_Static_assert(sizeof(struct courier_ask) == 136, "fixed layout");
_Static_assert(sizeof(struct courier_answer) == 640, "fixed layout");

/* Checks every byte. HW_EVALIDATION. */
int courier_ask_parse(struct courier_ask *ret, const void *p, size_t n);
/* *piece leads into the message, and has ret->len bytes. */
int courier_answer_parse(struct courier_answer *ret, const uint8_t **piece, const void *p,
	size_t n);

#endif
