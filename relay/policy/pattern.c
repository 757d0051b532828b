#include "relay/policy/pattern.h"

#include <stdint.h>
#include <string.h>

#include "proto/base/arena.h"
#include "proto/base/enc.h"
#include "relay/policy/context.h"
#include "relay/policy/policy.h"

#define NO_MEMORY "there is no memory for it"

/* --- compiling -------------------------------------------------------------------------------- */

struct compiler {
	struct arena *arena;
	struct pattern *pattern;
	struct pattern_item *items;
	const char *text, *end;
};

static struct pattern_item *
add(struct compiler *c, enum pattern_kind kind)
{
	struct pattern_item *item = &c->items[c->pattern->n++];

	item->kind = kind;
	return item;
}

static const char *
add_literal(struct compiler *c, const char *text, size_t len)
{
	if (len == 0)
		return NULL;
	struct pattern_item *item = add(c, PATTERN_LITERAL);
	item->text = arena_strndup(c->arena, text, len);
	item->len = len;
	return item->text == NULL ? NO_MEMORY : NULL;
}

/* Several * in a row are one. */
static void
add_any(struct compiler *c)
{
	size_t n = c->pattern->n;

	if (n == 0 || c->items[n - 1].kind != PATTERN_ANY)
		add(c, PATTERN_ANY);
}

static const char *
add_variable(struct compiler *c, const char *key, size_t len, const char *otherwise, size_t other)
{
	struct context_key *made = arena_alloc(c->arena, sizeof(*made));

	if (c->pattern->variables == PATTERN_VARIABLES_MAX)
		return "it has too many variables: 16 are the most in one text";
	struct pattern_item *item = add(c, PATTERN_VARIABLE);
	if (made == NULL || !context_key_init(made, c->arena, key, len))
		return NO_MEMORY;
	if (otherwise != NULL) {
		item->text = arena_strndup(c->arena, otherwise, other);
		if (item->text == NULL)
			return NO_MEMORY;
	}
	item->len = other;
	item->key = made;
	item->variable = c->pattern->variables++;
	c->pattern->of_resource |= made->of_resource;
	return NULL;
}

static const char *
skip_blanks(const char *p, const char *end)
{
	while (p < end && *p == ' ')
		p++;
	return p;
}

/* The end of 'text' in quotes; NULL when there is none. */
static const char *
quoted_end(const char *p, const char *end)
{
	return p < end && *p == '\'' ? memchr(p + 1, '\'', (size_t)(end - p - 1)) : NULL;
}

size_t
pattern_variable_span(const char *text, size_t n)
{
	const char *end = text + n, *p = text + 2;

	if (n < 2 || text[0] != '$' || text[1] != '{')
		return 0;
	while (p < end && *p != '}' && *p != ',')
		p++;
	if (p < end && *p == ',') {
		const char *quote = quoted_end(skip_blanks(p + 1, end), end);
		p = quote != NULL ? quote : p;
		while (p < end && *p != '}')
			p++;
	}
	return p < end ? (size_t)(p + 1 - text) : 0;
}

/* ${key} or ${key, 'default'}; p is behind the brace, end is at the other one. */
static const char *
read_key(struct compiler *c, const char *p, const char *end)
{
	static const char wrong[] =
		"a variable is ${key}, ${key, 'default'}, ${*}, ${?} or ${$}, and a key is like "
		"aws:username";
	const char *comma = memchr(p, ',', (size_t)(end - p));
	size_t len = (size_t)((comma != NULL ? comma : end) - p);

	if (!context_key_valid(p, len))
		return wrong;
	if (comma == NULL)
		return add_variable(c, p, len, NULL, 0);
	const char *begin = skip_blanks(comma + 1, end), *quote = quoted_end(begin, end);
	if (quote == NULL || skip_blanks(quote + 1, end) != end)
		return wrong;
	return add_variable(c, p, len, begin + 1, (size_t)(quote - begin - 1));
}

static const char *
read_variable(struct compiler *c)
{
	size_t span = pattern_variable_span(c->text, (size_t)(c->end - c->text));
	const char *p = c->text + 2;

	if (span == 0)
		return "a variable that begins with ${ has no } at its end";
	c->text += span;
	if (span == 4 && strchr("*?$", *p) != NULL)
		return add_literal(c, p, 1);
	return read_key(c, p, c->text - 1);
}

static bool
at_variable(const struct compiler *c)
{
	return (c->pattern->flags & PATTERN_VARIABLES) != 0 && c->end - c->text >= 2 &&
		c->text[0] == '$' && c->text[1] == '{';
}

static bool
at_wildcard(const struct compiler *c)
{
	return (c->pattern->flags & PATTERN_WILDCARDS) != 0 && (*c->text == '*' || *c->text == '?');
}

static const char *
read_item(struct compiler *c)
{
	const char *begin = c->text;

	if (at_variable(c))
		return read_variable(c);
	if (at_wildcard(c)) {
		if (*c->text++ == '*')
			add_any(c);
		else
			add(c, PATTERN_ONE);
		return NULL;
	}
	do
		c->text++;
	while (c->text < c->end && !at_variable(c) && !at_wildcard(c));
	return add_literal(c, begin, (size_t)(c->text - begin));
}

static bool
names_the_user(const struct pattern_item *item)
{
	return item->kind == PATTERN_VARIABLE &&
		(strcmp(item->key->name, "aws:username") == 0 ||
			strcmp(item->key->name, "aws:userid") == 0);
}

/* The rule against names that begin alike, for the pattern's last three items. */
static void
keep_off_look_alikes(struct compiler *c)
{
	size_t n = c->pattern->n;

	if (n < 3)
		return;
	struct pattern_item *last = &c->items[n - 3];
	if (names_the_user(&last[0]) && last[1].kind == PATTERN_LITERAL && last[1].len == 1 &&
		last[1].text[0] == '-' && last[2].kind == PATTERN_ANY)
		last[2].kind = PATTERN_NO_DASH;
}

/* What is true of the pattern as a whole. */
static void
sum_up(struct pattern *p)
{
	p->plain = true;
	for (size_t i = 0; i < p->n; i++) {
		const struct pattern_item *item = &p->items[i];
		p->plain = p->plain && item->kind == PATTERN_LITERAL;
		if (item->kind == PATTERN_LITERAL)
			p->least += item->len;
		else if (item->kind == PATTERN_ONE)
			p->least++;
	}
}

/* Each item but a literal begins with one of these, and no two literals are neighbours unless one
 * of them does. */
static size_t
most_items(const char *text, size_t n)
{
	size_t found = 1;

	for (size_t i = 0; i < n; i++)
		if (text[i] == '*' || text[i] == '?' || text[i] == '$')
			found += 2;
	return found;
}

const char *
pattern_compile(struct pattern *ret, struct arena *a, const char *text, size_t n, unsigned flags)
{
	struct pattern made = {.flags = flags};
	struct compiler c = {.arena = a, .pattern = &made, .text = text, .end = text + n};
	const char *wrong;

	c.items = arena_array(a, most_items(text, n), sizeof(*c.items));
	if (c.items == NULL)
		return NO_MEMORY;
	made.items = c.items;
	while (c.text < c.end)
		if ((wrong = read_item(&c)) != NULL)
			return wrong;
	keep_off_look_alikes(&c);
	sum_up(&made);
	*ret = made;
	return NULL;
}

bool
pattern_is_any(const struct pattern *p)
{
	return p->n == 1 && p->items[0].kind == PATTERN_ANY;
}

/* --- matching --------------------------------------------------------------------------------- */

bool
pattern_bind(struct pattern_bound *ret, const struct pattern *p, const struct policy_request *what)
{
	struct context_values found;

	for (size_t i = 0; i < p->n && p->variables > 0; i++) {
		const struct pattern_item *item = &p->items[i];
		const char *text = item->text;
		if (item->kind != PATTERN_VARIABLE)
			continue;
		if (context_find(&found, item->key, what) && found.n == 1)
			text = found.v[0];
		if (text == NULL)
			return false;
		ret->v[item->variable].text = text;
		ret->v[item->variable].len = strlen(text);
	}
	return true;
}

static char
lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static bool
same(const char *a, const char *b, size_t n, bool fold)
{
	if (!fold)
		return memcmp(a, b, n) == 0;
	for (size_t i = 0; i < n; i++)
		if (lower(a[i]) != lower(b[i]))
			return false;
	return true;
}

/* A character's bytes; a byte that begins none counts as one. */
static size_t
char_len(const char *text, size_t n)
{
	int len = (unsigned char)*text < 0x80 ? 1 : utf8_next((const uint8_t *)text, n);

	return len > 0 ? (size_t)len : 1;
}

struct matcher {
	const struct pattern *p;
	const struct pattern_bound *bound;
	const char *text;
	size_t n;
};

static bool
step_text(const struct matcher *m, size_t *at, const char *text, size_t len)
{
	if (m->n - *at < len || !same(m->text + *at, text, len, (m->p->flags & PATTERN_FOLD) != 0))
		return false;
	*at += len;
	return true;
}

/* One item other than *: moves *at behind what it matched. */
static bool
step(const struct matcher *m, size_t *at, const struct pattern_item *item)
{
	switch (item->kind) {
	case PATTERN_LITERAL:
		return step_text(m, at, item->text, item->len);
	case PATTERN_VARIABLE:
		return step_text(m, at, m->bound->v[item->variable].text,
			m->bound->v[item->variable].len);
	case PATTERN_ONE:
		if (*at == m->n)
			return false;
		*at += char_len(m->text + *at, m->n - *at);
		return true;
	case PATTERN_NO_DASH:
		if (memchr(m->text + *at, '-', m->n - *at) != NULL)
			return false;
		*at = m->n;
		return true;
	case PATTERN_ANY:
		break;
	}
	return false;
}

/* Whether the text ends as the pattern does; true when that is not told by a literal. */
static bool
ends_alike(const struct matcher *m)
{
	const struct pattern_item *last = &m->p->items[m->p->n - 1];
	size_t at = m->n - last->len;

	return last->kind != PATTERN_LITERAL || step(m, &at, last);
}

/* The first place from `at` on where the item behind a * may begin, by its first byte if that is
 * known; n + 1 when there is none. */
static size_t
next_fit(const struct matcher *m, size_t at, const struct pattern_item *item)
{
	if (item->kind != PATTERN_LITERAL || (m->p->flags & PATTERN_FOLD) != 0)
		return at;
	const char *found = memchr(m->text + at, item->text[0], m->n - at);
	return found != NULL ? (size_t)(found - m->text) : m->n + 1;
}

/* When something after a * does not fit, that * takes one character more; what came before it needs
 * no second look, for the earliest fit leaves the most to the rest. */
static bool
match_items(const struct matcher *m)
{
	const struct pattern *p = m->p;
	size_t item = 0, at = 0, star = p->n, star_at = 0;

	while (item < p->n || at < m->n) {
		if (item < p->n && p->items[item].kind == PATTERN_ANY) {
			star = ++item;
			star_at = at;
			if (star == p->n)
				return true;
		} else if (item < p->n && step(m, &at, &p->items[item])) {
			item++;
			continue;
		} else {
			if (star == p->n || star_at == m->n)
				return false;
			star_at += char_len(m->text + star_at, m->n - star_at);
		}
		star_at = next_fit(m, star_at, &p->items[star]);
		if (star_at > m->n)
			return false;
		at = star_at;
		item = star;
	}
	return true;
}

bool
pattern_match(const struct pattern *p, const struct pattern_bound *bound, const char *text,
	size_t n)
{
	const struct matcher m = {p, bound, text, n};

	if (n < p->least || (p->n > 0 && !ends_alike(&m)))
		return false;
	return match_items(&m);
}
