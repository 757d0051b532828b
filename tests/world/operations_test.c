/* Every operation with whatever its message may hold: names of what there is and of what there is
 * not, texts of all lengths and languages, numbers and times from end to end. None of it may break
 * the relay, and each answer must be one that its message can hold. */
#include <stdio.h>
#include <string.h>

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "proto/wire/codec.h"
#include "relay/core/call.h"
#include "relay/core/relay_private.h"
#include "tests/world/world.h"

#define CALLS	    4000
#define KNOWN_MAX   256
#define REQUEST_MAX (150 * 1024)
#define STEPS                                                                           \
	"{\"schemaVersion\":\"2.2\",\"mainSteps\":[{\"action\":\"aws:runShellScript\"," \
	"\"name\":\"one\",\"inputs\":{\"runCommand\":[\"id\"]}}]}"

/* Texts that mean something, and the members that hold them; what answers name joins them. */
struct known {
	struct {
		const char *wire;
		char text[224];
	} all[KNOWN_MAX];
	size_t n, next; /* which is replaced next, once there is no more room */
	size_t fixed;
};

struct crank {
	struct world *w;
	struct world_peer *admin, *node;
	struct arena *arena; /* of one request */
	struct known known;
	uint64_t state;
};

/* --- chance ------------------------------------------------------------------------------------
 */

/* SplitMix64: the same each time. */
static uint64_t
draw(struct crank *c)
{
	uint64_t z = c->state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

static size_t
below(struct crank *c, size_t n)
{
	return (size_t)(draw(c) % n);
}

static bool
one_in(struct crank *c, size_t n)
{
	return below(c, n) == 0;
}

/* --- texts -------------------------------------------------------------------------------------
 */

static void
know(struct known *k, const char *wire, const char *text)
{
	size_t n = strlen(text), at = k->n;

	if (n == 0 || n >= sizeof(k->all[0].text))
		return;
	for (size_t i = 0; i < k->n; i++)
		if (strcmp(k->all[i].text, text) == 0 && strcmp(k->all[i].wire, wire) == 0)
			return;
	if (k->n < KNOWN_MAX)
		k->n++;
	else
		at = k->fixed + k->next++ % (KNOWN_MAX - k->fixed);
	k->all[at].wire = wire;
	memcpy(k->all[at].text, text, n + 1);
}

static void
know_the_usual(struct crank *c)
{
	static const char *const usual[][2] = {
		{"UserName",	     "admin"			    },
		{"UserName",	     "ann"			  },
		{"GroupName",	      "ops"			   },
		{"Groups",	   "ops"			},
		{"PolicyName",      "developer"		  },
		{"PolicyName",      "own"			    },
		{"DocumentName",	 "AWS-RunShellScript"	     },
		{"DocumentName",	 "AWS-StartInteractiveCommand"},
		{"DocumentName",	 "mine"		       },
		{"Name",		 "mine"		       },
		{"Name",		 "web-01"			 },
		{"Name",		 "SSM-SessionManagerRunShell" },
		{"key",		"InstanceIds"		     },
		{"Key",		"InstanceIds"		     },
		{"Key",		"tag:Role"			  },
		{"Key",		"Name"			      },
		{"Key",		"Owner"		       },
		{"Key",		"Role"			      },
		{"Values",	   "w*"			       },
		{"Values",	   "Self"			 },
		{"valueSet",	     "web"			  },
		{"MaxConcurrency",  "50%"			},
		{"MaxErrors",	      "1"				 },
		{"DocumentVersion", "$LATEST"		     },
		{"value",		  "2026-11-27T00:00:00Z"	},
		{"value",		  "Success"			   },
		{"AttributeValue",  "decision"		     },
		{"Action",	   "ssm:StartSession"	     },
		{"ActionNames",	"ssm:StartSession"		  },
		{"ResourceArns",	 "document/mine"		},
		{"PolicySourceArn", "admin"			   },
		{"Pattern",	    "a"			       },
		{"Reason",	   "why"			},
		{"RunAs",		  "root"			},
		{"Content",	    STEPS			 },
		{"",		     "*"			  },
		{"",		     "arn:aws:iam::1:user/ann"    },
		{"parameter",	      "commands"			},
		{"",		     "1"			  },
	};
	static const char *const of_nodes[] = {
		"InstanceId", "InstanceIds", "Target", "ResourceId", "Values", "Resource"};

	for (size_t i = 0; i < sizeof(usual) / sizeof(usual[0]); i++)
		know(&c->known, usual[i][0], usual[i][1]);
	for (size_t i = 0; i < sizeof(of_nodes) / sizeof(of_nodes[0]); i++)
		know(&c->known, of_nodes[i], c->node->who.id);
	c->known.fixed = c->known.n;
}

/* n bytes at most, in whole characters of one to four bytes. */
static const char *
any_text(struct crank *c, size_t n)
{
	static const char *const chars[] = {"a", "-", "\u00e9", "\u20ac", "\U0001f600", "\"", "\n"};
	char *text = arena_alloc(c->arena, n + 1);
	size_t used = 0;

	while (true) {
		const char *p = chars[below(c, sizeof(chars) / sizeof(chars[0]))];
		if (used + strlen(p) > n)
			return text;
		memcpy(text + used, p, strlen(p));
		used += strlen(p);
	}
}

/* One that was in a member of that name, most often. */
static const char *
known_for(struct crank *c, const char *wire)
{
	size_t at = below(c, c->known.n);

	for (size_t i = 0; i < c->known.n; i++) {
		size_t k = (at + i) % c->known.n;
		if (strcmp(c->known.all[k].wire, wire) == 0)
			return c->known.all[k].text;
	}
	return c->known.all[at].text;
}

static const char *
text_for(struct crank *c, const char *wire, int64_t max)
{
	size_t most = max > 0 && max < 70000 ? (size_t)max : 70000;

	if (!one_in(c, 8))
		return known_for(c, one_in(c, 8) ? "" : wire);
	return any_text(c, one_in(c, 8) ? most : below(c, most < 60 ? most + 1 : 60));
}

/* --- messages ----------------------------------------------------------------------------------
 */

static void fill(struct crank *c, const struct msg_row *row, void *msg);

static int64_t
number_for(struct crank *c, int64_t min, int64_t max)
{
	uint64_t span = (uint64_t)max - (uint64_t)min;

	switch (below(c, 4)) {
	case 0:
		return min;
	case 1:
		return max;
	case 2:
		return (int64_t)((uint64_t)min + draw(c) % (span < 100 ? span + 1 : 100));
	default:
		return (int64_t)((uint64_t)min +
			(span == UINT64_MAX ? draw(c) : draw(c) % (span + 1)));
	}
}

static int64_t
time_for(struct crank *c)
{
	static const int64_t ends[] = {INT64_C(-62135596800), 0, 1, INT64_C(253402300799)};

	if (one_in(c, 2))
		return ends[below(c, 4)] * USEC_PER_SEC;
	return c->w->clock.now_wall + (int64_t)below(c, 7200) * USEC_PER_SEC - 3600 * USEC_PER_SEC;
}

static struct msg_strs
texts_for(struct crank *c, const char *wire, int64_t max)
{
	size_t n = below(c, max < 4 ? (size_t)max + 1 : 4);
	struct msg_strs list = {arena_array(c->arena, n + 1, sizeof(*list.v)), n};

	for (size_t i = 0; i < n; i++)
		list.v[i] = text_for(c, wire, 256);
	return list;
}

static struct msg_smap
pairs_for(struct crank *c)
{
	size_t n = below(c, 3);
	struct msg_smap map = {arena_array(c->arena, n + 1, sizeof(*map.v)), n};

	for (size_t i = 0; i < n; i++)
		map.v[i] = (struct msg_pair){text_for(c, "parameter", 128), texts_for(c, "", 3)};
	return map;
}

static struct msg_list
list_for(struct crank *c, const struct field_row *f)
{
	size_t n = below(c, f->max < 3 ? (size_t)f->max + 1 : 3);
	struct msg_list list = {arena_array(c->arena, n + 1, f->msg()->size), n};

	for (size_t i = 0; i < n; i++)
		fill(c, f->msg(), (char *)list.v + i * f->msg()->size);
	return list;
}

static void
fill_field(struct crank *c, const struct field_row *f, void *p)
{
	switch (f->kind) {
	case FIELD_STR:
		*(const char **)p = text_for(c, f->wire, f->max);
		break;
	case FIELD_BIN:
		*(struct msg_bin *)p = (struct msg_bin){(const uint8_t *)"xyz", 3};
		break;
	case FIELD_INT:
		*(int64_t *)p = number_for(c, f->min, f->max);
		break;
	case FIELD_BOOL:
		*(bool *)p = one_in(c, 2);
		break;
	case FIELD_TIME:
		*(int64_t *)p = time_for(c);
		break;
	case FIELD_ENUM:
		*(int *)p = 1 + (int)below(c, (size_t)f->values->count - 1);
		break;
	case FIELD_MSG:
		*(void **)p = arena_alloc(c->arena, f->msg()->size);
		fill(c, f->msg(), *(void **)p);
		break;
	case FIELD_STRS:
		*(struct msg_strs *)p = texts_for(c, f->wire, f->max);
		break;
	case FIELD_MSGS: {
		struct msg_list list = list_for(c, f);
		memcpy(p, &list, sizeof(list));
		break;
	}
	case FIELD_SMAP:
		*(struct msg_smap *)p = pairs_for(c);
		break;
	}
}

static void
fill(struct crank *c, const struct msg_row *row, void *msg)
{
	for (size_t i = 0; i < row->count; i++) {
		const struct field_row *f = &row->fields[i];
		if ((f->flags & FIELD_REQ) != 0 || one_in(c, 5))
			fill_field(c, f, (char *)msg + f->offset);
	}
}

/* --- answers -----------------------------------------------------------------------------------
 */

/* What it names can be asked about. */
static void
learn(struct crank *c, const struct msg_row *row, const void *msg)
{
	for (size_t i = 0; i < row->count; i++) {
		const struct field_row *f = &row->fields[i];
		const void *p = (const char *)msg + f->offset;
		struct msg_list list;
		if (f->kind == FIELD_STR && *(const char *const *)p != NULL) {
			know(&c->known, f->wire, *(const char *const *)p);
		} else if (f->kind == FIELD_MSG && *(const void *const *)p != NULL) {
			learn(c, f->msg(), *(const void *const *)p);
		} else if (f->kind == FIELD_MSGS) {
			memcpy(&list, p, sizeof(list));
			for (size_t k = 0; k < list.n && k < 3; k++)
				learn(c, f->msg(), (char *)list.v + k * f->msg()->size);
		}
	}
}

/* What is the relay's own fault, or an answer that cannot be given. */
static void
check(const struct op_row *row, int code, const char *why)
{
	static const int faults[] = {
		HW_EINTERNAL, HW_ENOMEM, HW_ECORRUPT, HW_EIO, HW_ESYS, HW_ERECORD};

	for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++)
		cr_assert(ne(int, code, faults[i]), "%s: %s", row->name, why);
	cr_assert_null(strstr(why, "is not valid UTF-8"), "%s: %s", row->name, why);
	cr_assert_null(strstr(why, "too large for one message"), "%s: %s", row->name, why);
}

/* One of each thing. */
static void
set_up(struct crank *c)
{
	const char *script[] = {"id"}, *node[] = {c->node->who.id}, *names[] = {"w*"};
	struct msg_pair parameter = {
		"commands", {script, 1}
	       };
	struct msg_command_target target = {
		.key = "Name", .values = {names, 1}
	   };
	struct msg_put_resource_group_request group = {.name = "mine"};

	group.targets.v = &target;
	group.targets.n = 1;
	world_do(c->admin, OP_create_resource_group, &group);
	world_do(c->admin, OP_create_group,
		&(struct msg_create_group_request){.group_name = "ops"});
	world_do(c->admin, OP_create_user, &(struct msg_create_user_request){.user_name = "ann"});
	world_put_policy(c->admin, "own",
		"{\"Version\":\"2012-10-17\",\"Statement\":{\"Effect\":\"Allow\",\"Action\":"
		"\"ssm:*\",\"Resource\":\"*\"}}");
	world_do(c->admin, OP_create_document,
		&(struct msg_create_document_request){.name = "mine", .content = STEPS});
	world_do(c->admin, OP_send_command,
		&(struct msg_send_command_request){
			.document_name = "AWS-RunShellScript",
			.instance_ids = {node,       1},
			.parameters = {&parameter, 1}
	     });
}

/* --- what is asked ------------------------------------------------------------------------------
 */

/* Those that would leave nobody to ask. */
static bool
is_left_out(enum op_id op)
{
	return op == OP_deregister_managed_instance || op == OP_delete_user ||
		op == OP_update_user || op == OP_detach_policy || op == OP_remove_user_from_group ||
		op == OP_delete_group || op == OP_put_policy || op == OP_renew_certificate;
}

static struct world_peer *
asker_of(struct crank *c, const struct op_row *row)
{
	if (is_left_out(row->id) || row->door == DOOR_ANON || row->door == DOOR_LOCAL)
		return NULL;
	return row->door == DOOR_NODE ? c->node : c->admin;
}

static bool
can_be_sent(const struct msg_row *row, const void *request)
{
	struct buf body;

	buf_init(&body, REQUEST_MAX);
	int r = msg_encode(&body, row, request, NULL);
	buf_fini(&body);
	return r == 0;
}

/* As a signed request would have it: JSON in and out. */
static int
ask_in_json(struct crank *c, const struct op_row *row, const void *request, void **rep,
	char why[384])
{
	struct relay *relay = c->w->relay;
	struct call call;
	struct buf text;

	buf_init(&text, CALL_BODY_MAX);
	int r = msg_to_json(&text, row->request(), request, JSON_SECRETS);
	cr_assert(r == 0 || r == HW_ELIMIT, "%s", row->name);
	cr_assert(eq(int,
		call_init(&call, &relay->env, CALL_JSON, row->name, buf_data(&text), text.len), 0));
	buf_fini(&text);
	call.who = (row->door == DOOR_NODE ? c->node : c->admin)->who;
	if (r == 0)
		call_execute(&call);
	else
		call.code = r;
	world_settle(c->w);
	snprintf(why, 384, "%s", call.message);
	r = call.code;
	if (r == 0)
		cr_assert(eq(int,
				  msg_from_json(rep, c->w->arena, row->reply(),
					  (const char *)buf_data(&call.reply), call.reply.len,
					  NULL),
				  0),
			"%s", row->name);
	call_fini(&call);
	return r;
}

static void
ask_something(struct crank *c)
{
	const struct op_row *row = &op_rows[below(c, OP_COUNT)];
	struct world_peer *by = asker_of(c, row);
	struct arena_mark mark = arena_mark(c->w->arena);
	char why[384] = "";
	void *rep = NULL;

	if (by == NULL)
		return;
	void *request = arena_alloc(c->arena, row->request()->size);
	fill(c, row->request(), request);
	if (!can_be_sent(row->request(), request))
		return;
	int code = one_in(c, 2) ? ask_in_json(c, row, request, &rep, why)
				: world_call(by, row->id, request, &rep, why);
	check(row, code, why);
	if (code == 0)
		learn(c, row->reply(), rep);
	arena_release(c->w->arena, &mark);
}

Test(operations, answer_whatever_they_are_asked, .timeout = 300)
{
	struct crank c = {.w = world_new(NULL), .state = 20261127};
	struct hw_err err = HW_ERR_INIT;

	c.admin = world_admin(c.w);
	c.node = world_node(c.w, c.admin, "web-01");
	cr_assert(eq(int, world_connect(c.node, &err), 0), "%s", err.text);
	set_up(&c);
	know_the_usual(&c);
	for (int i = 0; i < CALLS; i++) {
		c.arena = arena_new(16 << 20);
		ask_something(&c);
		arena_free(c.arena);
		if (one_in(&c, 10))
			world_advance(c.w, USEC_PER_SEC);
	}
	world_peer_free(c.node);
	world_peer_free(c.admin);
	world_free(c.w);
}
