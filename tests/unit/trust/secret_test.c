#include "proto/trust/secret.h"

#include <sys/stat.h>

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/base/enc.h"
#include "proto/base/file.h"
#include "tests/unit/trust/fleet.h"

static const char text[] = "correct horse battery staple";

static char path[64];

static void
make_dir(void)
{
	snprintf(path, sizeof(path), "/tmp/hawser-secret-XXXXXX");
	cr_assert(ne(ptr, mkdtemp(path), NULL));
	strcat(path, "/master.key");
}

static void
remove_dir(void)
{
	unlink(path);
	*strrchr(path, '/') = '\0';
	rmdir(path);
}

static void
write_file(const char *bytes, mode_t mode)
{
	cr_assert(eq(int, file_write(AT_FDCWD, path, bytes, strlen(bytes), mode, NULL), 0));
}

/* --- the master key -------------------------------------------------------------------------- */

Test(secret_key, is_written_for_its_owner_alone_and_read_back, .init = make_dir, .fini = remove_dir)
{
	struct secret_key made, read;
	struct stat st;

	umask(0);
	cr_assert(eq(int, secret_key_create(&made, path, NULL), 0));
	cr_assert(eq(int, stat(path, &st), 0));
	cr_assert(eq(uint, st.st_mode & 07777, 0600));
	cr_assert(eq(int, secret_key_load(&read, path, NULL), 0));
	cr_assert(bytes_equal(made.bytes, read.bytes, SECRET_KEY_LEN));
}

Test(secret_key, never_replaces_one_that_is_there, .init = make_dir, .fini = remove_dir)
{
	struct secret_key first, second, read;
	struct hw_err err = HW_ERR_INIT;

	cr_assert(eq(int, secret_key_create(&first, path, &err), 0));
	cr_assert(eq(int, secret_key_create(&second, path, &err), HW_EEXISTS));
	cr_assert(eq(int, secret_key_load(&read, path, &err), 0));
	cr_assert(bytes_equal(first.bytes, read.bytes, SECRET_KEY_LEN));
}

Test(secret_key, that_others_may_use_is_refused, .init = make_dir, .fini = remove_dir)
{
	static const mode_t loose[] = {0640, 0620, 0604, 0602, 0610, 0666};
	struct hw_err err = HW_ERR_INIT;
	struct secret_key key;

	cr_assert(eq(int, secret_key_create(&key, path, NULL), 0));
	for (size_t i = 0; i < sizeof(loose) / sizeof(loose[0]); i++) {
		chmod(path, loose[i]);
		cr_assert(eq(int, secret_key_load(&key, path, &err), HW_EDENIED));
		cr_assert(ne(ptr, strstr(err.text, "chmod 600"), NULL), "%s", err.text);
	}
	chmod(path, 0400);
	cr_assert(eq(int, secret_key_load(&key, path, &err), 0));
}

Test(secret_key, of_another_user_is_refused, .init = make_dir, .fini = remove_dir)
{
	struct secret_key key;

	if (geteuid() != 0)
		cr_skip_test("needs root");
	cr_assert(eq(int, secret_key_create(&key, path, NULL), 0));
	cr_assert(eq(int, chown(path, 65534, 65534), 0));
	cr_assert(eq(int, secret_key_load(&key, path, NULL), HW_EDENIED));
}

Test(secret_key, that_is_no_key_is_refused, .init = make_dir, .fini = remove_dir)
{
	static const char hex[] =
		"00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
	struct secret_key key;
	char longer[sizeof(hex) + 2];

	cr_assert(eq(int, secret_key_load(&key, path, NULL), HW_ENOTFOUND));
	write_file("", 0600);
	cr_assert(eq(int, secret_key_load(&key, path, NULL), HW_ECORRUPT));
	write_file("not hex", 0600);
	cr_assert(eq(int, secret_key_load(&key, path, NULL), HW_ECORRUPT));
	snprintf(longer, sizeof(longer), "%.63s", hex);
	write_file(longer, 0600);
	cr_assert(eq(int, secret_key_load(&key, path, NULL), HW_ECORRUPT));
	snprintf(longer, sizeof(longer), "%s0\n", hex);
	write_file(longer, 0600);
	cr_assert(lt(int, secret_key_load(&key, path, NULL), 0));
	write_file(hex, 0600); /* a newline is usual, not needed */
	cr_assert(eq(int, secret_key_load(&key, path, NULL), 0));
	cr_assert(eq(u8, key.bytes[1], 0x11));
}

Test(secret_key, derived_keys_differ_by_label_and_are_the_same_each_time)
{
	struct secret_key master, a, b, again;

	secret_key_random(&master);
	secret_key_derive(&a, &master, "tickets");
	secret_key_derive(&b, &master, "access keys");
	secret_key_derive(&again, &master, "tickets");
	cr_assert(bytes_equal(a.bytes, again.bytes, SECRET_KEY_LEN));
	cr_assert(not(bytes_equal(a.bytes, b.bytes, SECRET_KEY_LEN)));
	cr_assert(not(bytes_equal(a.bytes, master.bytes, SECRET_KEY_LEN)));
}

/* HKDF with a key of 32 bytes 0x0b, no salt, info "hawser"; computed with Python's hmac. */
Test(secret_key, derivation_is_hkdf_sha256)
{
	struct secret_key master, derived;
	char hex[2 * SECRET_KEY_LEN + 1];

	memset(master.bytes, 0x0b, sizeof(master.bytes));
	secret_key_derive(&derived, &master, "hawser");
	hex_encode(hex, derived.bytes, sizeof(derived.bytes));
	cr_assert(eq(str, hex,
		(char *)"1438d5eee41c9d7fd82c53d1aa22016012d2f3990cd17737499718c1da8976df"));
}

/* --- seals ----------------------------------------------------------------------------------- */

static void
seal(struct buf *sealed, const struct secret_key *key, const char *aad)
{
	buf_init(sealed, 4096);
	cr_assert(eq(int, secret_seal(sealed, key, aad, text, sizeof(text)), 0));
	cr_assert(eq(sz, sealed->len, sizeof(text) + SECRET_NONCE_LEN + SECRET_TAG_LEN));
}

Test(seal, opens_to_what_was_sealed)
{
	struct buf sealed, plain;
	struct secret_key key;

	secret_key_random(&key);
	seal(&sealed, &key, "access key AKIA1");
	buf_init(&plain, 4096);
	cr_assert(eq(int,
		secret_open(&plain, &key, "access key AKIA1", buf_data(&sealed), sealed.len), 0));
	cr_assert(eq(str, (char *)buf_str(&plain), (char *)text));
	cr_assert(eq(ptr, memmem(buf_data(&sealed), sealed.len, text, 8), NULL));
	buf_fini(&sealed);
	buf_fini(&plain);
}

Test(seal, of_nothing_is_fine)
{
	struct buf sealed, plain;
	struct secret_key key;

	secret_key_random(&key);
	buf_init(&sealed, 4096);
	buf_init(&plain, 4096);
	cr_assert(eq(int, secret_seal(&sealed, &key, "", NULL, 0), 0));
	cr_assert(eq(int, secret_open(&plain, &key, "", buf_data(&sealed), sealed.len), 0));
	cr_assert(eq(sz, plain.len, 0));
	buf_fini(&sealed);
	buf_fini(&plain);
}

Test(seal, every_changed_bit_and_every_cut_is_noticed)
{
	struct buf sealed, plain;
	struct secret_key key;

	secret_key_random(&key);
	seal(&sealed, &key, "a");
	buf_init(&plain, 4096);
	for (size_t i = 0; i < sealed.len * 8; i++) {
		sealed.mem[sealed.head + i / 8] ^= (uint8_t)(1 << i % 8);
		cr_assert(eq(int, secret_open(&plain, &key, "a", buf_data(&sealed), sealed.len),
			HW_ECORRUPT));
		sealed.mem[sealed.head + i / 8] ^= (uint8_t)(1 << i % 8);
	}
	for (size_t n = 0; n < sealed.len; n++)
		cr_assert(eq(int, secret_open(&plain, &key, "a", buf_data(&sealed), n),
			HW_ECORRUPT));
	cr_assert(eq(sz, plain.len, 0));
	buf_fini(&sealed);
	buf_fini(&plain);
}

Test(seal, cannot_be_moved_or_opened_with_another_key)
{
	struct secret_key key, other;
	struct buf sealed, plain;

	secret_key_random(&key);
	secret_key_random(&other);
	seal(&sealed, &key, "parameter /prod/db");
	buf_init(&plain, 4096);
	cr_assert(eq(int,
		secret_open(&plain, &key, "parameter /test/db", buf_data(&sealed), sealed.len),
		HW_ECORRUPT));
	cr_assert(eq(int,
		secret_open(&plain, &other, "parameter /prod/db", buf_data(&sealed), sealed.len),
		HW_ECORRUPT));
	cr_assert(eq(sz, plain.len, 0));
	buf_fini(&sealed);
	buf_fini(&plain);
}

Test(seal, past_the_cap_of_its_buffer_is_a_limit)
{
	struct buf sealed, small;
	struct secret_key key;

	secret_key_random(&key);
	seal(&sealed, &key, "a");
	buf_init(&small, sizeof(text) - 1);
	cr_assert(eq(int, secret_seal(&small, &key, "a", text, sizeof(text)), HW_ELIMIT));
	cr_assert(eq(int, secret_open(&small, &key, "a", buf_data(&sealed), sealed.len),
		HW_ELIMIT));
	cr_assert(eq(sz, small.len, 0));
	buf_fini(&sealed);
	buf_fini(&small);
}

/* --- streams --------------------------------------------------------------------------------- */

Test(secret_stream, seals_in_place_and_opens_in_any_order)
{
	uint8_t sealed[3][sizeof(text) + SECRET_TAG_LEN];
	struct secret_stream *s;
	struct secret_key key;

	secret_key_random(&key);
	s = secret_stream_new(&key);
	for (uint64_t i = 0; i < 3; i++) {
		memcpy(sealed[i], text, sizeof(text));
		cr_assert(eq(int,
			secret_stream_seal(s, i << 40, "head", 4, sealed[i], sealed[i],
				sizeof(text)),
			0));
	}
	cr_assert(not(bytes_equal(sealed[0], sealed[1], sizeof(text))));
	for (uint64_t i = 3; i-- > 0;) {
		cr_assert(eq(int,
			secret_stream_open(s, i << 40, "head", 4, sealed[i], sealed[i],
				sizeof(sealed[i])),
			0));
		cr_assert(eq(str, (char *)sealed[i], (char *)text));
	}
	secret_stream_free(s);
	secret_stream_free(NULL);
}

Test(secret_stream, makes_and_opens_single_seals)
{
	struct secret_key key;
	struct secret_stream *s;
	uint8_t sealed[100 + SECRET_NONCE_LEN + SECRET_TAG_LEN], plain[100], out[100];
	struct buf b;

	secret_key_random(&key);
	s = secret_stream_new(&key);
	memset(plain, 'p', sizeof(plain));
	buf_init(&b, 1000);
	for (int round = 0; round < 2; round++) { /* a context that was used before */
		cr_assert(eq(int, secret_stream_seal_alone(s, "aad", sealed, plain, sizeof(plain)),
			0));
		cr_assert(eq(int, secret_open(&b, &key, "aad", sealed, sizeof(sealed)), 0));
		cr_assert(eq(int, memcmp(buf_data(&b), plain, sizeof(plain)), 0));
		buf_reset(&b);
		cr_assert(eq(int, secret_seal(&b, &key, "aad", plain, sizeof(plain)), 0));
		cr_assert(eq(int, secret_stream_open_alone(s, "aad", out, buf_data(&b), b.len), 0));
		cr_assert(eq(int, memcmp(out, plain, sizeof(plain)), 0));
		buf_reset(&b);
		cr_assert(eq(int, secret_stream_open_alone(s, "other", out, sealed, sizeof(sealed)),
			HW_ECORRUPT));
		sealed[20] ^= 1;
		cr_assert(eq(int, secret_stream_open_alone(s, "aad", out, sealed, sizeof(sealed)),
			HW_ECORRUPT));
		cr_assert(eq(int, secret_stream_open_alone(s, "aad", out, sealed, 27),
			HW_ECORRUPT));
	}
	buf_fini(&b);
	secret_stream_free(s);
}

Test(secret_stream, another_counter_head_or_byte_is_noticed_and_nothing_comes_out)
{
	uint8_t sealed[sizeof(text) + SECRET_TAG_LEN], out[sizeof(text)], zero[sizeof(text)] = {0};
	struct secret_stream *s;
	struct secret_key key;

	secret_key_random(&key);
	s = secret_stream_new(&key);
	cr_assert(eq(int, secret_stream_seal(s, 7, "ab", 2, sealed, text, sizeof(text)), 0));
	cr_assert(eq(int, secret_stream_open(s, 8, "ab", 2, out, sealed, sizeof(sealed)),
		HW_ECORRUPT));
	cr_assert(bytes_equal(out, zero, sizeof(out)));
	cr_assert(eq(int, secret_stream_open(s, 7, "ac", 2, out, sealed, sizeof(sealed)),
		HW_ECORRUPT));
	cr_assert(eq(int, secret_stream_open(s, 7, "a", 1, out, sealed, sizeof(sealed)),
		HW_ECORRUPT));
	cr_assert(eq(int, secret_stream_open(s, 7, NULL, 0, out, sealed, sizeof(sealed)),
		HW_ECORRUPT));
	cr_assert(eq(int, secret_stream_open(s, 7, "ab", 2, out, sealed, SECRET_TAG_LEN - 1),
		HW_ECORRUPT));
	sealed[3] ^= 1;
	cr_assert(eq(int, secret_stream_open(s, 7, "ab", 2, out, sealed, sizeof(sealed)),
		HW_ECORRUPT));
	sealed[3] ^= 1; /* a failure spoils nothing for the next */
	cr_assert(eq(int, secret_stream_open(s, 7, "ab", 2, out, sealed, sizeof(sealed)), 0));
	cr_assert(eq(str, (char *)out, (char *)text));
	secret_stream_free(s);
}

Test(hasher, makes_the_same_hashes_again_and_again)
{
	uint8_t want[SHA256_LEN], got[SHA256_LEN];
	struct hasher *h = hasher_new();

	cr_assert_not_null(h);
	for (size_t n = 0; n <= sizeof(text); n++) {
		sha256(want, text, sizeof(text));
		hasher_joined(h, got, text, n, text + n, sizeof(text) - n);
		cr_assert(bytes_equal(got, want, SHA256_LEN));
		sha256(want, text, n);
		hasher_joined(h, got, text, n, NULL, 0);
		cr_assert(bytes_equal(got, want, SHA256_LEN));
	}
	hasher_free(h);
	hasher_free(NULL);
}

/* --- boxes ----------------------------------------------------------------------------------- */

#define AAD "what it is, and where"

struct reader {
	uint8_t pub[BOX_KEY_LEN], priv[BOX_KEY_LEN];
};

static struct buf box, plain;

static void
box_setup(void)
{
	buf_init(&box, 4096);
	buf_init(&plain, 4096);
}

static void
box_teardown(void)
{
	buf_fini(&box);
	buf_fini(&plain);
}

TestSuite(box, .init = box_setup, .fini = box_teardown);

static void
seal_for(struct reader *readers, size_t n)
{
	struct box_readers to = {.n = n};

	for (size_t i = 0; i < n; i++) {
		cr_assert(eq(int, box_keygen(readers[i].pub, readers[i].priv), 0));
		memcpy(to.keys[i], readers[i].pub, BOX_KEY_LEN);
	}
	cr_assert(eq(int, box_seal(&box, &to, AAD, text, sizeof(text)), 0));
	cr_assert(eq(sz, box.len, sizeof(text) + BOX_OVERHEAD(n)));
}

static int
open_as(const struct reader *r, const char *aad)
{
	buf_reset(&plain);
	return box_open(&plain, r->priv, aad, buf_data(&box), box.len);
}

Test(box, each_of_its_readers_opens_it_alone)
{
	struct reader readers[BOX_READERS_MAX], other;

	seal_for(readers, BOX_READERS_MAX);
	cr_assert(eq(int, box_keygen(other.pub, other.priv), 0));
	for (size_t i = 0; i < BOX_READERS_MAX; i++) {
		cr_assert(eq(int, open_as(&readers[i], AAD), 0));
		cr_assert(eq(str, (char *)buf_str(&plain), (char *)text));
	}
	cr_assert(eq(int, open_as(&other, AAD), HW_EDENIED));
	cr_assert(eq(sz, plain.len, 0));
}

Test(box, one_that_was_moved_does_not_open)
{
	struct reader reader;

	seal_for(&reader, 1);
	cr_assert(eq(int, open_as(&reader, AAD "!"), HW_ECORRUPT));
	cr_assert(eq(int, open_as(&reader, ""), HW_ECORRUPT));
}

Test(box, two_of_the_same_bytes_differ)
{
	struct reader reader;
	struct buf first;

	seal_for(&reader, 1);
	first = box;
	buf_init(&box, 4096);
	struct box_readers to = {.n = 1};
	memcpy(to.keys[0], reader.pub, BOX_KEY_LEN);
	cr_assert(eq(int, box_seal(&box, &to, AAD, text, sizeof(text)), 0));
	size_t head = 2 + BOX_KEY_LEN + BOX_ID_LEN;
	cr_assert(not(bytes_equal(buf_data(&first) + 2, buf_data(&box) + 2, BOX_KEY_LEN)));
	cr_assert(not(bytes_equal(buf_data(&first) + head, buf_data(&box) + head, box.len - head)));
	buf_fini(&first);
}

Test(box, the_public_half_follows_from_the_private_one)
{
	struct reader r;
	uint8_t pub[BOX_KEY_LEN];
	char id[2 * BOX_ID_LEN + 1];

	cr_assert(eq(int, box_keygen(r.pub, r.priv), 0));
	cr_assert(eq(int, box_public(pub, r.priv), 0));
	cr_assert(bytes_equal(pub, r.pub, BOX_KEY_LEN));
	box_key_id(id, pub);
	cr_assert(eq(sz, strlen(id), 2 * BOX_ID_LEN));
}

Test(box, every_changed_byte_and_every_cut_is_noticed)
{
	struct reader readers[2];

	seal_for(readers, 2);
	for (size_t i = 0; i < box.len; i++) {
		box.mem[box.head + i] ^= 0x20;
		for (int k = 0; k < 2; k++)
			cr_assert(lt(int, open_as(&readers[k], AAD), 0), "byte %zu", i);
		box.mem[box.head + i] ^= 0x20;
		cr_assert(eq(int, box_open(&plain, readers[0].priv, AAD, buf_data(&box), i),
			HW_ECORRUPT));
	}
	cr_assert(eq(sz, plain.len, 0));
}

Test(box, of_another_version_it_says_so)
{
	struct reader reader;

	seal_for(&reader, 1);
	box.mem[box.head] = 3;
	cr_assert(eq(int, open_as(&reader, AAD), HW_EVERSION));
}

Test(box, a_point_of_low_order_is_no_key)
{
	struct box_readers zero = {.n = 1}, one = {.n = 1, .keys = {{1}}};
	struct reader reader;

	cr_assert(eq(int, box_seal(&box, &zero, AAD, text, sizeof(text)), HW_EVALIDATION));
	cr_assert(eq(int, box_seal(&box, &one, AAD, text, sizeof(text)), HW_EVALIDATION));
	cr_assert(eq(sz, box.len, 0));
	seal_for(&reader, 1);
	memset(box.mem + box.head + 2, 0, BOX_KEY_LEN);
	cr_assert(eq(int, open_as(&reader, AAD), HW_ECORRUPT));
}

/* --- tokens ---------------------------------------------------------------------------------- */

Test(token, is_43_characters_for_urls_and_never_the_same)
{
	static const char allowed[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	char a[TOKEN_LEN + 1], b[TOKEN_LEN + 1];

	token_make(a);
	token_make(b);
	cr_assert(eq(sz, strlen(a), TOKEN_LEN));
	cr_assert(eq(sz, strspn(a, allowed), TOKEN_LEN));
	cr_assert(ne(str, a, b));
}

Test(token, never_looks_like_an_option)
{
	char t[TOKEN_LEN + 1];

	for (int i = 0; i < 1000; i++) {
		token_make(t);
		cr_assert(t[0] != '-', "%s", t);
	}
}

Test(token, hash_is_sha256_in_hex)
{
	char hash[2 * SHA256_LEN + 1];

	token_hash(hash, "abc");
	cr_assert(eq(str, hash,
		(char *)"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"));
}

Test(token, none_is_taken_for_an_option)
{
	char token[TOKEN_LEN + 1];

	for (int i = 0; i < 1000; i++) {
		token_make(token);
		cr_assert(ne(chr, token[0], '-'));
	}
}
