#include "client/json_args.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <string.h>

static int
make(struct buf *out, const struct msg_row *row, const char *input, const char *word1,
	const char *word2)
{
	const char *words[] = {word1, word2};
	size_t n = (word1 != NULL) + (word2 != NULL);

	buf_init(out, 65536);
	return json_args(out, row, input, input != NULL ? strlen(input) : 0, words, n, NULL);
}

static void
gives(const struct msg_row *row, const char *input, const char *word1, const char *word2,
	const char *json)
{
	struct buf out;

	cr_assert(eq(int, make(&out, row, input, word1, word2), 0));
	cr_assert_str_eq(buf_str(&out), json);
	buf_fini(&out);
}

static void
refused(const struct msg_row *row, const char *input, const char *word)
{
	struct buf out;

	cr_assert(eq(int, make(&out, row, input, word, NULL), HW_EUSAGE));
	buf_fini(&out);
}

Test(json_args, values_are_what_their_fields_are)
{
	gives(MSG_ROW(create_user_request), NULL, "UserName=12", "Administrator=true",
		"{\"UserName\":\"12\",\"Administrator\":true}");
	gives(MSG_ROW(create_user_request), NULL, "ExpiresSeconds=60", NULL,
		"{\"ExpiresSeconds\":60}");
	gives(MSG_ROW(create_activation_request), NULL, "ExpirationDate=1970-01-01T00:00:02Z", NULL,
		"{\"ExpirationDate\":2.0}");
	gives(MSG_ROW(create_activation_request), NULL, "Description=[x", NULL,
		"{\"Description\":\"[x\"}");
	gives(MSG_ROW(create_activation_request), NULL, "Tags=[{\"Key\":\"a\",\"Value\":\"b\"}]",
		NULL, "{\"Tags\":[{\"Key\":\"a\",\"Value\":\"b\"}]}");
}

Test(json_args, a_list_of_texts_grows)
{
	gives(MSG_ROW(remove_tags_from_resource_request), NULL, "TagKeys=a", "TagKeys=b=c",
		"{\"TagKeys\":[\"a\",\"b=c\"]}");
	gives(MSG_ROW(remove_tags_from_resource_request), NULL, "TagKeys=[\"a\",\"b\"]", NULL,
		"{\"TagKeys\":[\"a\",\"b\"]}");
}

Test(json_args, words_go_over_the_input)
{
	gives(MSG_ROW(create_user_request), "{\"UserName\":\"a\",\"ExpiresSeconds\":60}",
		"UserName=b", NULL, "{\"UserName\":\"b\",\"ExpiresSeconds\":60}");
	gives(MSG_ROW(create_user_request), "{}", NULL, NULL, "{}");
}

Test(json_args, mistakes)
{
	refused(MSG_ROW(create_user_request), NULL, "UserName");
	refused(MSG_ROW(create_user_request), NULL, "=x");
	refused(MSG_ROW(create_user_request), NULL, "Username=x");
	refused(MSG_ROW(create_user_request), NULL, "ExpiresSeconds=1h");
	refused(MSG_ROW(create_user_request), NULL, "Administrator=1");
	refused(MSG_ROW(create_activation_request), NULL, "Tags=a");
	refused(MSG_ROW(create_user_request), "[1]", NULL);
	refused(MSG_ROW(create_user_request), "{\"a\":", NULL);
	refused(MSG_ROW(create_user_request), "{\"a\":1,\"a\":2}", NULL);
}
