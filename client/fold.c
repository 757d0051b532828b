#include "client/fold.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/id.h"

#define FIELDS_MAX 4   /* numbers of a name that may vary: the last ones */
#define DIGITS_MAX 18  /* a longer number is a text */
#define LIST_MAX   190 /* of a bracket; a selector takes 200 */

struct number {
	size_t at, len;
};

struct entry {
	const char *name;
	char *shape; /* the name with a mark in the place of each number */
	struct number numbers[FIELDS_MAX];
	size_t n;
	uint64_t value; /* of the number that varies */
};

struct part {
	const char *first; /* its first name: where it stands among the others */
	size_t at, len;	   /* in the text */
};

struct folding {
	struct entry *entries;
	size_t n;
	struct part *parts;
	size_t n_parts;
	struct buf text;
};

/* --- names ------------------------------------------------------------------------------------ */

/* An id is a name of its own kind, and what selectors give a meaning to cannot be spelled in one.
 */
static bool
may_fold(const char *name)
{
	for (const char *at = name; *at != '\0'; at++)
		if ((unsigned char)*at <= ' ' || *at == 0x7f || strchr(",[]*?", *at) != NULL)
			return false;
	return !id_is_node(name);
}

static void
add_number(struct entry *e, size_t at, size_t len)
{
	if (len > DIGITS_MAX)
		return;
	if (e->n == FIELDS_MAX) {
		memmove(e->numbers, e->numbers + 1, (FIELDS_MAX - 1) * sizeof(e->numbers[0]));
		e->n--;
	}
	e->numbers[e->n++] = (struct number){.at = at, .len = len};
}

static void
find_numbers(struct entry *e)
{
	for (size_t at = 0; e->name[at] != '\0';) {
		size_t len = strspn(e->name + at, "0123456789");

		if (len > 0)
			add_number(e, at, len);
		at += len > 0 ? len : 1;
	}
}

static int
make_shape(struct entry *e)
{
	size_t from = 0;
	char *to = e->shape = malloc(strlen(e->name) + 1);

	if (to == NULL)
		return HW_ENOMEM;
	for (size_t i = 0; i < e->n; i++) {
		to = mempcpy(to, e->name + from, e->numbers[i].at - from);
		*to++ = '\n'; /* in no name that folds */
		from = e->numbers[i].at + e->numbers[i].len;
	}
	strcpy(to, e->name + from);
	return 0;
}

static int
make_entries(struct folding *f, const char *const *names, size_t n)
{
	int r = 0;

	f->entries = calloc(n, sizeof(*f->entries));
	f->parts = calloc(n, sizeof(*f->parts));
	if (f->entries == NULL || f->parts == NULL)
		return HW_ENOMEM;
	for (size_t i = 0; i < n && r == 0; i++) {
		struct entry *e = &f->entries[f->n++];

		e->name = names[i];
		if (may_fold(e->name))
			find_numbers(e);
		r = make_shape(e);
	}
	return r;
}

/* --- which number varies ---------------------------------------------------------------------- */

static int
by_shape(const void *a, const void *b)
{
	return strcmp(((const struct entry *)a)->shape, ((const struct entry *)b)->shape);
}

static int
compare_texts(const char *a, size_t n, const char *b, size_t m)
{
	int r = memcmp(a, b, n < m ? n : m);

	return r != 0 ? r : (n > m) - (n < m);
}

/* Of one shape, by all but the number `field`. */
static int
compare_rest(const struct entry *a, const struct entry *b, size_t field)
{
	const struct number *x = &a->numbers[field], *y = &b->numbers[field];
	int r = compare_texts(a->name, x->at, b->name, y->at);

	return r != 0 ? r : strcmp(a->name + x->at + x->len, b->name + y->at + y->len);
}

/* Those that differ in the number alone lie together, of each width and then by value. */
static int
by_rest(const void *a, const void *b, void *arg)
{
	const struct entry *x = a, *y = b;
	size_t field = *(const size_t *)arg;
	int r = compare_rest(x, y, field);

	if (r == 0)
		r = (x->numbers[field].len > y->numbers[field].len) -
			(x->numbers[field].len < y->numbers[field].len);
	return r != 0 ? r
		      : compare_texts(x->name + x->numbers[field].at, x->numbers[field].len,
				y->name + y->numbers[field].at, y->numbers[field].len);
}

static size_t
count_rests(const struct entry *e, size_t n, size_t field)
{
	size_t count = 1;

	for (size_t i = 1; i < n; i++)
		count += compare_rest(&e[i - 1], &e[i], field) != 0;
	return count;
}

/* The one by which the fewest parts come out, the last of those: names count at their end. Sorts.
 */
static size_t
choose_field(struct entry *e, size_t n)
{
	size_t best = 0, fewest = SIZE_MAX;

	for (size_t field = 0; field < e->n; field++) {
		qsort_r(e, n, sizeof(*e), by_rest, &field);
		size_t count = count_rests(e, n, field);
		if (count <= fewest) {
			fewest = count;
			best = field;
		}
	}
	qsort_r(e, n, sizeof(*e), by_rest, &best);
	return best;
}

/* --- writing ---------------------------------------------------------------------------------- */

static void
begin_part(struct folding *f, const char *first)
{
	f->parts[f->n_parts].first = first;
	f->parts[f->n_parts].at = f->text.len;
}

static void
end_part(struct folding *f)
{
	f->parts[f->n_parts].len = f->text.len - f->parts[f->n_parts].at;
	f->n_parts++;
}

static void
write_name(struct folding *f, const char *name)
{
	begin_part(f, name);
	buf_append_str(&f->text, name);
	end_part(f);
}

static bool
is_padded(const char *digits, size_t len)
{
	return len > 1 && digits[0] == '0';
}

/* Whether a range that begins at `first` goes on from `a` to `b`: FROM-TO with a zero in front
 * keeps its width, and without one it has none. */
static bool
goes_on(const struct entry *first, const struct entry *a, const struct entry *b, size_t field)
{
	const char *digits = b->name + b->numbers[field].at;
	size_t len = b->numbers[field].len, width = first->numbers[field].len;

	if (b->value != a->value + 1)
		return false;
	return is_padded(first->name + first->numbers[field].at, width) ? len == width
									: !is_padded(digits, len);
}

static void
write_number(struct folding *f, const struct entry *e, size_t field)
{
	buf_append(&f->text, e->name + e->numbers[field].at, e->numbers[field].len);
}

/* Of n entries that differ in a number alone the first ones, as one part; how many. */
static size_t
write_set(struct folding *f, const struct entry *e, size_t n, size_t field)
{
	size_t start, i = 0;

	begin_part(f, e->name);
	buf_append(&f->text, e->name, e->numbers[field].at);
	buf_append_byte(&f->text, '[');
	start = f->text.len;
	while (i < n && f->text.len - start + 2 * DIGITS_MAX + 2 < LIST_MAX) {
		size_t first = i;

		if (f->text.len > start)
			buf_append_byte(&f->text, ',');
		write_number(f, &e[i], field);
		while (i + 1 < n &&
			(strcmp(e[i].name, e[i + 1].name) == 0 ||
				goes_on(&e[first], &e[i], &e[i + 1], field)))
			i++;
		if (strcmp(e[first].name, e[i].name) != 0) {
			buf_append_byte(&f->text, '-');
			write_number(f, &e[i], field);
		}
		i++;
	}
	buf_append_byte(&f->text, ']');
	buf_append_str(&f->text, e->name + e->numbers[field].at + e->numbers[field].len);
	end_part(f);
	return i;
}

static bool
all_same(const struct entry *e, size_t n)
{
	for (size_t i = 1; i < n; i++)
		if (strcmp(e[i].name, e[0].name) != 0)
			return false;
	return true;
}

static void
write_sets(struct folding *f, const struct entry *e, size_t n, size_t field)
{
	while (n > 0) {
		size_t done = n;

		if (all_same(e, n))
			write_name(f, e->name);
		else
			done = write_set(f, e, n, field);
		e += done;
		n -= done;
	}
}

static void
fold_shape(struct folding *f, struct entry *e, size_t n)
{
	size_t field, end;

	if (e->n == 0) {
		write_name(f, e->name);
		return;
	}
	field = choose_field(e, n);
	for (size_t i = 0; i < n; i++)
		e[i].value = strtoull(e[i].name + e[i].numbers[field].at, NULL, 10);
	for (size_t i = 0; i < n; i = end) {
		for (end = i + 1; end < n && compare_rest(&e[i], &e[end], field) == 0;)
			end++;
		write_sets(f, e + i, end - i, field);
	}
}

/* --- all of them ------------------------------------------------------------------------------ */

static int
by_first(const void *a, const void *b)
{
	return strverscmp(((const struct part *)a)->first, ((const struct part *)b)->first);
}

static void
join(struct buf *out, const struct folding *f)
{
	for (size_t i = 0; i < f->n_parts; i++) {
		if (i > 0)
			buf_append_byte(out, ' ');
		buf_append(out, buf_data(&f->text) + f->parts[i].at, f->parts[i].len);
	}
}

static int
fold_all(struct buf *out, struct folding *f)
{
	size_t end;

	qsort(f->entries, f->n, sizeof(*f->entries), by_shape);
	for (size_t i = 0; i < f->n; i = end) {
		for (end = i + 1; end < f->n && by_shape(&f->entries[i], &f->entries[end]) == 0;)
			end++;
		fold_shape(f, f->entries + i, end - i);
	}
	if (f->text.failed)
		return HW_ELIMIT;
	qsort(f->parts, f->n_parts, sizeof(*f->parts), by_first);
	join(out, f);
	return out->failed ? HW_ELIMIT : 0;
}

int
fold_append(struct buf *out, const char *const *names, size_t n)
{
	struct folding f = {0};
	int r;

	if (n == 0)
		return 0;
	buf_init(&f.text, out->max);
	if ((r = make_entries(&f, names, n)) == 0)
		r = fold_all(out, &f);
	for (size_t i = 0; i < f.n; i++)
		free(f.entries[i].shape);
	free(f.entries);
	free(f.parts);
	buf_fini(&f.text);
	return r;
}
