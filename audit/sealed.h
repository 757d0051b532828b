/* Input that was typed hidden, sealed to the auditors: what binds a piece to its place. */
#ifndef HAWSER_AUDIT_SEALED_H
#define HAWSER_AUDIT_SEALED_H

#include "audit/recording.h"

/* What a piece is sealed with beside its bytes: relay, session, and where, when and how many. The
 * relay's name is at most 64 bytes long, a session's id RECORDING_ID_MAX. */
void sealed_aad(char out[BOX_AAD_MAX], const char *relay, const char *session_id,
	const struct event *ev);

/* Appends what the event hides. HW_ENOTFOUND when it holds nothing (there was no key then),
 * HW_ECORRUPT also when it is not what the event says; else as box_open(). */
int sealed_open(struct buf *out, const uint8_t priv[BOX_KEY_LEN], const char *relay,
	const char *session_id, const struct event *ev);

#endif
