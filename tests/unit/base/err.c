#include "proto/base/err.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <errno.h>
#include <signal.h>
#include <string.h>

Test(err, set_returns_the_code_and_keeps_the_sentence)
{
	struct hw_err err = HW_ERR_INIT;

	cr_assert(eq(int, hw_err_set(&err, HW_ELIMIT, "%d is over %d", 5, 4), HW_ELIMIT));
	cr_assert(eq(int, err.code, HW_ELIMIT));
	cr_assert_str_eq(err.text, "5 is over 4");
}

Test(err, nobody_needs_to_read_it)
{
	cr_assert(eq(int, hw_err_set(NULL, HW_ELIMIT, "x"), HW_ELIMIT));
	errno = ENOENT;
	cr_assert(eq(int, hw_err_sys(NULL, "x"), HW_ENOTFOUND));
}

Test(err, an_errno_becomes_a_code_and_a_reason)
{
	struct hw_err err = HW_ERR_INIT;

	errno = ECONNREFUSED;
	cr_assert(eq(int, hw_err_sys(&err, "cannot dial %s", "r1"), HW_EUNAVAILABLE));
	cr_assert_str_eq(err.text, "cannot dial r1: Connection refused");
	errno = EACCES;
	cr_assert(eq(int, hw_err_sys(&err, "x"), HW_ESYS));
}

Test(err, a_prefix_goes_before_the_sentence)
{
	struct hw_err err = HW_ERR_INIT;

	hw_err_set(&err, HW_EIO, "disk full");
	cr_assert(eq(int, hw_err_prefix(&err, "file %s", "a"), HW_EIO));
	cr_assert_str_eq(err.text, "file a: disk full");
}

Test(err, a_long_sentence_is_cut)
{
	struct hw_err err = HW_ERR_INIT;
	char text[1000];

	memset(text, 'x', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	hw_err_set(&err, HW_EIO, "%s", text);
	cr_assert(eq(sz, strlen(err.text), sizeof(err.text) - 1));
	errno = EIO;
	hw_err_sys(&err, "%s", text);
	hw_err_prefix(&err, "%s", text);
	cr_assert(eq(sz, strlen(err.text), sizeof(err.text) - 1));
}

Test(err, without_a_sentence_the_rows_meaning_is_read)
{
	struct hw_err err = {.code = HW_EDENIED};

	cr_assert_str_eq(hw_err_text(&err), hw_code_meaning(HW_EDENIED));
	err.code = HW_OK;
	cr_assert_str_eq(hw_err_text(&err), "success");
}

Test(err, each_row_answers_for_itself)
{
	cr_assert_str_eq(hw_code_name(HW_EFULL), "ThrottlingException");
	cr_assert(eq(int, hw_code_http(HW_EFULL), 429));
	cr_assert(eq(int, hw_code_http(HW_OK), 200));
	cr_assert(eq(int, hw_code_from_name("ThrottlingException"), HW_EFULL));
}

Test(err, unknown_codes_and_names_are_internal)
{
	cr_assert_str_eq(hw_code_name(-1), "InternalServerError");
	cr_assert_str_eq(hw_code_name(-100000), "InternalServerError");
	cr_assert_str_eq(hw_code_name(7), "InternalServerError");
	cr_assert(eq(int, hw_code_http(-100000), 500));
	cr_assert(eq(int, hw_code_from_name("NoSuchName"), HW_EINTERNAL));
	cr_assert(eq(int, hw_code_from_name("InternalServerError"), HW_EINTERNAL));
}

Test(err, a_broken_invariant_aborts, .signal = SIGABRT)
{
	hw_assert(1 + 1 == 3);
}
