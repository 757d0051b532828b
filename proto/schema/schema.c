#include "proto/schema/schema.h"

#include <string.h>

/* --- enums ------------------------------------------------------------------------------------ */

#define HW_ENUM_BEGIN(name, doc)       static const char *const wire_##name[] = {NULL,
#define HW_ENUM_VALUE(name, sym, wire) wire,
#define HW_ENUM_END(name)              };
#include "proto/schema/enums.def"
#undef HW_ENUM_BEGIN
#undef HW_ENUM_VALUE
#undef HW_ENUM_END

#define HW_ENUM_BEGIN(name, doc) const struct enum_row enum_##name = {#name, doc, wire_##name, name##_COUNT};
#define HW_ENUM_VALUE(name, sym, wire)
#define HW_ENUM_END(name)
#include "proto/schema/enums.def"
#undef HW_ENUM_BEGIN
#undef HW_ENUM_VALUE
#undef HW_ENUM_END

const char *
enum_text(const struct enum_row *row, int value)
{
	return value > 0 && value < row->count ? row->wire[value] : "";
}

int
enum_value(const struct enum_row *row, const char *text)
{
	for (int i = 1; i < row->count; i++)
		if (strcmp(row->wire[i], text) == 0)
			return i;
	return 0;
}

/* --- messages --------------------------------------------------------------------------------- */

#define REQ    FIELD_REQ
#define SECRET FIELD_SECRET
#define OPT0   FIELD_OPT0

#define ROW(m, w, k, lo, hi, f, vals, sub, d)                                                      \
	{.member = #m, FIELD_WIRE(w), .doc = d, .kind = k, .offset = offsetof(self, m), .min = lo, \
		.max = hi, .flags = f, .values = vals, .msg = sub},

/* clang-format off: the table's macros open and close a function each. */
#define MSG_BEGIN(id, w, d)                                                                        \
	const struct msg_row *msg_row_##id(void)                                                   \
	{                                                                                          \
		typedef struct msg_##id self;                                                      \
		static const char name[] = #id, wire[] = w, doc[] = d;                             \
		static const struct field_row fields[] = {
#define STR(m, w, lo, hi, f, d)	      ROW(m, w, FIELD_STR, lo, hi, f, NULL, NULL, d)
#define BIN(m, w, lo, hi, f, d)	      ROW(m, w, FIELD_BIN, lo, hi, f, NULL, NULL, d)
#define INT(m, w, lo, hi, f, d)	      ROW(m, w, FIELD_INT, lo, hi, f, NULL, NULL, d)
#define BOOL(m, w, lo, hi, f, d)      ROW(m, w, FIELD_BOOL, lo, hi, f, NULL, NULL, d)
#define TIME(m, w, lo, hi, f, d)      ROW(m, w, FIELD_TIME, lo, hi, f, NULL, NULL, d)
#define ENUM(m, w, table, f, d)	      ROW(m, w, FIELD_ENUM, 0, 0, f, &enum_##table, NULL, d)
#define MSG(m, w, msg, f, d)	      ROW(m, w, FIELD_MSG, 0, 0, f, NULL, msg_row_##msg, d)
#define STRS(m, w, lo, hi, f, d)      ROW(m, w, FIELD_STRS, lo, hi, f, NULL, NULL, d)
#define MSGS(m, w, msg, lo, hi, f, d) ROW(m, w, FIELD_MSGS, lo, hi, f, NULL, msg_row_##msg, d)
#define SMAP(m, w, hi, f, d)	      ROW(m, w, FIELD_SMAP, 0, hi, f, NULL, NULL, d)
#define MSG_END(id)                                                                                \
		};                                                                                 \
		static const struct msg_row row = {.name = name, .wire = wire, .doc = doc,         \
			.size = sizeof(self), .fields = fields,                                    \
			.count = sizeof(fields) / sizeof(fields[0])};                              \
		return &row;                                                                       \
	}
#include "proto/schema/messages.def"
#include "proto/schema/undef.h"
/* clang-format on */

static const struct msg_row *(*const msg_row_fns[])(void) = {
#define MSG_BEGIN(id, wire, doc) msg_row_##id,
#include "proto/schema/fields_off.h"
#include "proto/schema/messages.def"
#include "proto/schema/undef.h"
};

size_t
msg_row_count(void)
{
	return sizeof(msg_row_fns) / sizeof(msg_row_fns[0]);
}

const struct msg_row *
msg_row_at(size_t i)
{
	return i < msg_row_count() ? msg_row_fns[i]() : NULL;
}

/* --- frames and channels ----------------------------------------------------------------------- */

static const struct frame_row frame_table[FRAME_KINDS] = {
#define HW_FRAME(sym, num, len, layout, doc) [num] = {#sym, layout, doc, num, len},
#include "proto/schema/frames.def"
#undef HW_FRAME
};

const struct frame_row *
frame_row(int kind)
{
	return kind >= 0 && kind < FRAME_KINDS ? &frame_table[kind] : NULL;
}

static const struct channel_row channel_table[] = {
#define HW_CHANNEL(sym, class, in, out, rec, ahead, doc)                                           \
	{#sym, doc, CHANNEL_TYPE_##sym, CLASS_##class, RECEIVER_##in, RECEIVER_##out, rec, ahead},
#include "proto/schema/channels.def"
#undef HW_CHANNEL
};

const struct channel_row *
channel_row(int type)
{
	for (size_t i = 0; i < sizeof(channel_table) / sizeof(channel_table[0]); i++)
		if (channel_table[i].type == type)
			return &channel_table[i];
	return NULL;
}

/* --- operations --------------------------------------------------------------------------------- */

const struct op_row op_rows[OP_COUNT] = {
#define HW_OP(id, name, req, rep, door, action, res, field, audit, doc)                            \
	{OP_##id, name, action, doc, msg_row_##req, msg_row_##rep, DOOR_##door, RESOURCE_##res,     \
		#field, AUDIT_##audit},
#include "proto/schema/operations.def"
#undef HW_OP
};

const struct op_row *
op_find(const char *name)
{
	for (int i = 0; i < OP_COUNT; i++)
		if (strcmp(op_rows[i].name, name) == 0)
			return &op_rows[i];
	return NULL;
}

/* --- ledger entries ----------------------------------------------------------------------------- */

static const struct {
	const char *kind, *doc;
} entry_table[ENTRY_KINDS] = {
#define HW_ENTRY(sym, kind, doc) {kind, doc},
#include "proto/schema/entries.def"
#undef HW_ENTRY
};

const char *
entry_kind_name(enum entry_kind kind)
{
	return entry_table[kind].kind;
}

const char *
entry_kind_doc(enum entry_kind kind)
{
	return entry_table[kind].doc;
}
