#include "proto/trust/identity.h"

#include <openssl/x509.h>

#include <stdio.h>
#include <string.h>

#include "proto/base/enc.h"
#include "proto/base/id.h"
#include "proto/trust/ossl.h"
#include "proto/trust/secret.h"

int
identity_fleet(char out[CERT_FLEET_LEN + 1], EVP_PKEY *ca_key, struct hw_err *err)
{
	uint8_t hash[SHA256_LEN], *der = NULL;

	int n = i2d_PUBKEY(ca_key, &der);
	if (n < 0)
		return ossl_err(err, HW_ECERT, "the CA has no usable key");
	sha256(hash, der, (size_t)n);
	hex_encode(out, hash, CERT_FLEET_LEN / 2);
	OPENSSL_free(der);
	return 0;
}

bool
identity_fits(int role, const char *id)
{
	if (role == ROLE_NODE)
		return id_is_node(id);
	return (role == ROLE_USER || role == ROLE_RELAY) && id_is_user(id);
}

static bool
is_unreserved(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
		c == '-' || c == '.' || c == '_' || c == '~';
}

void
identity_uri(char out[IDENTITY_URI_MAX], const char *fleet, int role, const char *id)
{
	hw_assert(identity_fits(role, id));
	int n = snprintf(out, IDENTITY_URI_MAX, "hawser://%s/%s/", fleet,
		enum_text(&enum_ROLE, role));

	for (; *id != '\0'; id++)
		n += snprintf(out + n, IDENTITY_URI_MAX - (size_t)n,
			is_unreserved(*id) ? "%c" : "%%%02X", (unsigned char)*id);
	hw_assert(n < IDENTITY_URI_MAX);
}

/* Undoes the encoding once. False when it is malformed, stands for a NUL, or does not fit. */
static bool
percent_decode(char *out, size_t room, const char *text)
{
	while (*text != '\0') {
		char digits[3] = "", c = *text++;
		if (c == '%') {
			memcpy(digits, text, strnlen(text, 2));
			if (hex_decode(&c, 1, digits) < 0 || c == '\0')
				return false;
			text += 2;
		}
		if (room-- <= 1)
			return false;
		*out++ = c;
	}
	*out = '\0';
	return true;
}

/* Cuts "FLEET/ROLE/ID" in place. */
static bool
split(char *text, const char *parts[3])
{
	for (int i = 0; i < 3; i++) {
		parts[i] = text;
		text = strchr(text, '/');
		if ((text == NULL) != (i == 2))
			return false;
		if (text != NULL)
			*text++ = '\0';
	}
	return true;
}

int
identity_parse(struct cert_identity *ret, const char *uri, size_t n, const char *fleet,
	struct hw_err *err)
{
	static const char scheme[] = "hawser://";
	char text[IDENTITY_URI_MAX], again[IDENTITY_URI_MAX], id[CERT_ID_MAX] = "";
	const char *parts[3];

	if (n >= sizeof(text) || memchr(uri, '\0', n) != NULL || n < strlen(scheme) ||
		memcmp(uri, scheme, strlen(scheme)) != 0)
		return hw_err_set(err, HW_ECERT, "its URI does not name anyone of a fleet");
	memcpy(text, uri, n);
	text[n] = '\0';
	if (!split(text + strlen(scheme), parts))
		return hw_err_set(err, HW_ECERT, "its URI is not hawser://FLEET/ROLE/ID");
	if (strcmp(parts[0], fleet) != 0)
		return hw_err_set(err, HW_ECERT, "it is for another fleet than %s", fleet);

	int role = enum_value(&enum_ROLE, parts[1]);
	if (!percent_decode(id, sizeof(id), parts[2]) || !identity_fits(role, id))
		return hw_err_set(err, HW_ECERT,
			"its URI has a role or an id that nobody can have");
	identity_uri(again, fleet, role, id);
	if (strlen(again) != n || memcmp(again, uri, n) != 0)
		return hw_err_set(err, HW_ECERT, "its URI spells %s in an unusual way", id);
	if ((size_t)snprintf(ret->fleet, sizeof(ret->fleet), "%s", fleet) >= sizeof(ret->fleet))
		return hw_err_set(err, HW_ECERT, "its fleet's id is too long");
	ret->role = role;
	memcpy(ret->id, id, sizeof(ret->id));
	return 0;
}
