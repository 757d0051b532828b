/*
 * The tables of proto/schema/ as C: message structs, enums, and rows that the codec, dispatch, the
 * client and the documentation generator walk. Nothing here allocates.
 */
#ifndef HAWSER_SCHEMA_SCHEMA_H
#define HAWSER_SCHEMA_SCHEMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* --- enums ------------------------------------------------------------------------------------ */

#define HW_ENUM_BEGIN(name, doc)       enum { name##_NONE,
#define HW_ENUM_VALUE(name, sym, wire) name##_##sym,
#define HW_ENUM_END(name) \
	name##_COUNT      \
	}                 \
	;
#include "proto/schema/enums.def"
#undef HW_ENUM_BEGIN
#undef HW_ENUM_VALUE
#undef HW_ENUM_END

struct enum_row {
	const char *name, *doc;
	const char *const *wire; /* by value; [0] is NULL */
	int count;		 /* values are 1..count-1 */
};

#define HW_ENUM_BEGIN(name, doc) extern const struct enum_row enum_##name;
#define HW_ENUM_VALUE(name, sym, wire)
#define HW_ENUM_END(name)
#include "proto/schema/enums.def"
#undef HW_ENUM_BEGIN
#undef HW_ENUM_VALUE
#undef HW_ENUM_END

/* A value's wire text, "" for 0 or a value outside the table; and back, 0 when none. */
const char *enum_text(const struct enum_row *row, int value);
int enum_value(const struct enum_row *row, const char *text);

/* --- messages --------------------------------------------------------------------------------- */

/* What decoded fields look like. All memory belongs to the arena that they were decoded into. */
struct msg_bin {
	const uint8_t *p;
	size_t n;
};
struct msg_strs {
	const char **v;
	size_t n;
};
struct msg_pair {
	const char *key;
	struct msg_strs values;
};
struct msg_smap {
	struct msg_pair *v;
	size_t n;
};
/* The layout that every MSGS member shares; its v is typed in the struct. */
struct msg_list {
	void *v;
	size_t n;
};

#define MSG_BEGIN(id, wire, doc)		 struct msg_##id {
#define STR(member, wire, min, max, flags, doc)	 const char *member;
#define BIN(member, wire, min, max, flags, doc)	 struct msg_bin member;
#define INT(member, wire, min, max, flags, doc)	 int64_t member;
#define BOOL(member, wire, min, max, flags, doc) bool member;
#define TIME(member, wire, min, max, flags, doc) int64_t member;
#define ENUM(member, wire, table, flags, doc)	 int member;
#define MSG(member, wire, msg, flags, doc)	 struct msg_##msg *member;
#define STRS(member, wire, min, max, flags, doc) struct msg_strs member;
#define MSGS(member, wire, msg, min, max, flags, doc) \
	struct {                                      \
		struct msg_##msg *v;                  \
		size_t n;                             \
	} member;
#define SMAP(member, wire, max, flags, doc) struct msg_smap member;
#define MSG_END(id) \
	}           \
	;
#include "proto/schema/messages.def"
#include "proto/schema/undef.h"

enum field_kind {
	FIELD_STR,
	FIELD_BIN,
	FIELD_INT,
	FIELD_BOOL,
	FIELD_TIME,
	FIELD_ENUM,
	FIELD_MSG,
	FIELD_STRS,
	FIELD_MSGS,
	FIELD_SMAP,
};

enum { FIELD_REQ = 1, FIELD_SECRET = 2, FIELD_OPT0 = 4 };

struct msg_row;

struct field_row {
	const char *member, *wire, *doc;
	size_t wire_len;
	enum field_kind kind;
	size_t offset;
	int64_t min, max;
	unsigned flags;
	const struct enum_row *values;	    /* FIELD_ENUM */
	const struct msg_row *(*msg)(void); /* FIELD_MSG, FIELD_MSGS */
};

/* A field's name on the wire, for rows that are written by hand. */
#define FIELD_WIRE(text) .wire = (text), .wire_len = sizeof(text) - 1

struct msg_row {
	const char *name, *wire, *doc;
	size_t size;
	const struct field_row *fields;
	size_t count;
};

/* MSG_ROW(open) is the row of struct msg_open. A row is reached through a function, because only
 * inside one can a table name the struct that its offsets are of. */
#define MSG_ROW(id)		 (msg_row_##id())
#define MSG_BEGIN(id, wire, doc) const struct msg_row *msg_row_##id(void);
#include "proto/schema/fields_off.h"
#include "proto/schema/messages.def"
#include "proto/schema/undef.h"

/* All messages, in the order of the table: NULL from msg_row_count() on. */
const struct msg_row *msg_row_at(size_t i);
size_t msg_row_count(void);

/* --- frames and channels -----------------------------------------------------------------------
 */

enum frame_kind {
#define HW_FRAME(sym, num, len, layout, doc) FRAME_##sym = num,
#include "proto/schema/frames.def"
#undef HW_FRAME
	FRAME_KINDS /* one past the highest */
};

struct frame_row {
	const char *name, *layout, *doc;
	int kind, length;
};
const struct frame_row *frame_row(int kind); /* NULL for a kind outside the table */

enum channel_class { CLASS_INTERACTIVE, CLASS_BULK };
enum channel_receiver { RECEIVER_HOLDER, RECEIVER_RECORDER, RECEIVER_PEER };
enum { STREAM_IN, STREAM_OUT, STREAM_ERR, STREAMS }; /* the streams of pty and exec channels */

struct channel_row {
	const char *name, *doc;
	int type; /* CHANNEL_TYPE_* */
	enum channel_class class;
	enum channel_receiver input, output;
	bool recorded;
	uint32_t ahead; /* bytes of input that may come before ACCEPT */
};
/* NULL for a type outside the table. */
const struct channel_row *channel_row(int type);

/* --- operations ---------------------------------------------------------------------------------
 */

enum op_id {
#define HW_OP(id, name, req, rep, door, action, res, field, audit, doc) OP_##id,
#include "proto/schema/operations.def"
#undef HW_OP
	OP_COUNT
};

enum op_door { DOOR_USER, DOOR_NODE, DOOR_SELF, DOOR_ANON, DOOR_LOCAL };
enum op_resource {
	RESOURCE_ANY,
	RESOURCE_INSTANCE,
	RESOURCE_SESSION,
	RESOURCE_ACTIVATION,
	RESOURCE_USER,
	RESOURCE_GROUP,
	RESOURCE_POLICY,
	RESOURCE_DOCUMENT,
	RESOURCE_RESOURCE_GROUP,
	RESOURCE_TAGGED,
	RESOURCE_LISTED
};
enum op_audit { AUDIT_NONE, AUDIT_READ, AUDIT_FULL, AUDIT_BEGUN };

struct op_row {
	enum op_id id;
	const char *name, *action, *doc;
	const struct msg_row *(*request)(void), *(*reply)(void);
	enum op_door door;
	enum op_resource resource;
	const char *field; /* member of the request with the resource's id; "none" */
	enum op_audit audit;
};
extern const struct op_row op_rows[OP_COUNT];
const struct op_row *op_find(const char *name); /* by wire name; NULL */

/* --- ledger entries -----------------------------------------------------------------------------
 */

enum entry_kind {
#define HW_ENTRY(sym, kind, doc) ENTRY_##sym,
#include "proto/schema/entries.def"
#undef HW_ENTRY
	ENTRY_KINDS
};
const char *entry_kind_name(enum entry_kind kind);
const char *entry_kind_doc(enum entry_kind kind);

#endif
