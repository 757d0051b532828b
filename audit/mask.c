#include "audit/mask.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/file.h"

#define FILE_MAX    (256 * 1024)
#define LINE_MAX_   (64 * 1024) /* longer ones are looked at in pieces */
#define MATCH_LIMIT 200000
#define DEPTH_LIMIT 2000

struct masks {
	pcre2_code **codes;
	size_t n;
	pcre2_match_data *match;
	pcre2_match_context *limits;
};

static int
add(struct masks *m, const char *pattern, size_t n, const char *path, int line, struct hw_err *err)
{
	PCRE2_UCHAR why[128];
	PCRE2_SIZE at;
	int code;

	pcre2_code *c = pcre2_compile((PCRE2_SPTR)pattern, n, PCRE2_NEVER_UTF, &code, &at, NULL);
	if (c == NULL) {
		pcre2_get_error_message(code, why, sizeof(why));
		return hw_err_set(err, HW_EVALIDATION, "%s:%d: column %zu: %s", path, line, at + 1,
			(char *)why);
	}
	pcre2_code **more = realloc(m->codes, (m->n + 1) * sizeof(pcre2_code *));
	if (more == NULL) {
		pcre2_code_free(c);
		return hw_err_set(err, HW_ENOMEM, "no memory for masks");
	}
	m->codes = more;
	m->codes[m->n++] = c;
	return 0;
}

static int
add_lines(struct masks *m, const char *text, const char *path, struct hw_err *err)
{
	int line = 1, r = 0;

	for (const char *end; r == 0 && *text != '\0'; text = end + (*end == '\n'), line++) {
		end = text + strcspn(text, "\n");
		if (end > text && *text != '#')
			r = add(m, text, (size_t)(end - text), path, line, err);
	}
	return r;
}

int
masks_load(struct masks **ret, const char *path, struct hw_err *err)
{
	struct buf text;

	buf_init(&text, FILE_MAX);
	int r = file_read(&text, AT_FDCWD, path, err);
	if (r == HW_ENOTFOUND) {
		*ret = NULL;
		return 0;
	}
	const char *lines = r == 0 ? buf_str(&text) : NULL;
	struct masks *m = lines != NULL ? calloc(1, sizeof(*m)) : NULL;
	if (m != NULL) {
		m->match = pcre2_match_data_create(1, NULL);
		m->limits = pcre2_match_context_create(NULL);
	}
	if (r == 0 && (m == NULL || m->match == NULL || m->limits == NULL))
		r = hw_err_set(err, HW_ENOMEM, "no memory for masks");
	if (r == 0) {
		pcre2_set_match_limit(m->limits, MATCH_LIMIT);
		pcre2_set_depth_limit(m->limits, DEPTH_LIMIT);
		r = add_lines(m, lines, path, err);
	}
	buf_fini(&text);
	if (r < 0)
		masks_free(m);
	else
		*ret = m;
	return r;
}

void
masks_free(struct masks *m)
{
	if (m == NULL)
		return;
	for (size_t i = 0; i < m->n; i++)
		pcre2_code_free(m->codes[i]);
	free(m->codes);
	pcre2_match_data_free(m->match);
	pcre2_match_context_free(m->limits);
	free(m);
}

/* Stars wherever the pattern matches. `out` is what is masked; `in` is as it was, so that one
 * pattern's stars don't hide text from another. */
static void
mask_line(const struct masks *m, const pcre2_code *code, const uint8_t *in, uint8_t *out, size_t n)
{
	PCRE2_SIZE from = 0;

	while (from <= n) {
		int r = pcre2_match(code, in, n, from, PCRE2_NOTEMPTY, m->match, m->limits);
		if (r == PCRE2_ERROR_NOMATCH)
			return;
		const PCRE2_SIZE *at = pcre2_get_ovector_pointer(m->match);
		/* Undecided, or \K in a lookahead put the start behind the end: better too much. */
		if (r < 0 || at[0] >= at[1] || at[1] > n) {
			memset(out, '*', n);
			return;
		}
		memset(out + at[0], '*', at[1] - at[0]);
		from = at[1] > from ? at[1] : from + 1;
	}
}

static size_t
line_length(const uint8_t *p, size_t n)
{
	size_t len = 0;

	if (n > LINE_MAX_)
		n = LINE_MAX_;
	while (len < n && p[len] != '\n' && p[len] != '\r')
		len++;
	return len;
}

void
masks_apply(const struct masks *m, uint8_t *p, size_t n)
{
	uint8_t *before;

	if (m == NULL || m->n == 0 || n == 0)
		return;
	if ((before = malloc(n)) == NULL) {
		memset(p, '*', n);
		return;
	}
	memcpy(before, p, n);
	for (size_t at = 0; at < n;) {
		size_t len = line_length(before + at, n - at);
		for (size_t i = 0; len > 0 && i < m->n; i++)
			mask_line(m, m->codes[i], before + at, p + at, len);
		at += len > 0 ? len : 1;
	}
	explicit_bzero(before, n);
	free(before);
}
