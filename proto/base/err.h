/*
 * Errors: 0 or a negative code from proto/schema/errors.def, and, where someone will read it, one
 * sentence. A function that takes `struct hw_err *err` takes it last; NULL means nobody reads it.
 */
#ifndef HAWSER_BASE_ERR_H
#define HAWSER_BASE_ERR_H

#include <stdarg.h>
#include <stddef.h>

enum hw_code_row {
#define HW_ERROR(sym, wire, http, doc) sym##_ROW,
#include "proto/schema/errors.def"
#undef HW_ERROR
	HW_ERROR_ROWS
};

/* The first row is -2: -1 is what system calls return, and must not pass for a code. */
enum hw_code {
	HW_OK = 0,
#define HW_ERROR(sym, wire, http, doc) sym = -(2 + (int)sym##_ROW),
#include "proto/schema/errors.def"
#undef HW_ERROR
};

struct hw_err {
	int code;	/* HW_OK or a row */
	char text[384]; /* what was wrong, with what value; no newline at the end */
};

#define HW_ERR_INIT {.code = HW_OK, .text = ""}

#define HW_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#define HW_MUSTCHECK	     __attribute__((warn_unused_result))

/* Each sets code and text when err is not NULL, and returns the code. */
int hw_err_set(struct hw_err *err, int code, const char *fmt, ...) HW_PRINTF(3, 4);
int hw_err_vset(struct hw_err *err, int code, const char *fmt, va_list ap) HW_PRINTF(3, 0);

/* As hw_err_set with the code that errno maps to, and ": strerror(errno)" after the text. */
int hw_err_sys(struct hw_err *err, const char *fmt, ...) HW_PRINTF(2, 3);

/* Puts "fmt: " before the text that is there. Returns err's code, or HW_EINTERNAL
 * without err: return your own code there. */
int hw_err_prefix(struct hw_err *err, const char *fmt, ...) HW_PRINTF(2, 3);

/* The sentence, or the row's meaning when nobody wrote one. Never NULL or empty. */
const char *hw_err_text(const struct hw_err *err);

/* A row's wire name, HTTP status, and meaning. Unknown codes answer as HW_EINTERNAL. */
const char *hw_code_name(int code);
int hw_code_http(int code);
const char *hw_code_meaning(int code);

/* The code whose wire name it is (the first, where rows share one); HW_EINTERNAL when none. */
int hw_code_from_name(const char *name);

/* Bugs only, never a peer's bytes: stays on in release builds. */
#define hw_assert(cond)                                                                            \
	((cond) ? (void)0 : hw_assert_failed(#cond, __FILE__, __LINE__, __func__))
void hw_assert_failed(const char *cond, const char *file, int line, const char *func)
	__attribute__((noreturn));

#endif
