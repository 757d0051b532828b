#include "proto/wire/host.h"

#include <sys/un.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

_Static_assert(sizeof(((struct sockaddr_un *)NULL)->sun_path) == HOST_PATH_MAX + 1, "with a NUL");

/* --- networks --------------------------------------------------------------------------------- */

struct network {
	uint8_t prefix[16];
	int bits;
	unsigned traits;
	const char *as; /* what is guarded */
};

#define V4(a, b, c, d)     \
	{                  \
		a, b, c, d \
	}

static const struct network networks_v4[] = {
	{V4(0,   0,	  0,   0),	 32, HOST_LOCAL | HOST_GUARDED, "no address"			    },
	{V4(0,   0,	  0,   0),	 8,  HOST_GUARDED,		  "an address of no network"	    },
	{V4(127, 0,   0,   0),   8,  HOST_LOCAL,		  ""				    },
	{V4(169, 254, 169, 254), 32, HOST_GUARDED,		   "an address of instance metadata"},
	{V4(169, 254, 0,	 0),   16, HOST_GUARDED,	       "a link-local address"	     },
	{V4(100, 100, 100, 200), 32, HOST_GUARDED,		   "an address of instance metadata"},
	{V4(224, 0,   0,   0),   4,  HOST_GUARDED,		    "a multicast address"		 },
	{V4(255, 255, 255, 255), 32, HOST_GUARDED,		   "the broadcast address"	  },
};

static const struct network networks_v6[] = {
	{{0},						128, HOST_LOCAL | HOST_GUARDED, "no address"	  },
	{{[15] = 1},					 128, HOST_LOCAL,		      ""			},
	{{0xfd, 0x00, 0x0e, 0xc2, [14] = 0x02, [15] = 0x54}, 128, HOST_GUARDED,
		"an address of instance metadata"									 },
	{{0xfe, 0x80},				       10,  HOST_GUARDED,		 "a link-local address"},
	{{0xfe, 0xc0},				       10,  HOST_GUARDED,		 "a site-local address"},
	{{0xff},					     8,   HOST_GUARDED,		  "a multicast address" },
 /* Teredo hides an IPv4 address in a way that its servers may be made to choose. */
	{{0x20, 0x01},				       32,  HOST_GUARDED,		 "a Teredo address"	   },
};

static const struct network nobody = {.as = ""};

static bool
is_in(const uint8_t *address, const struct network *n)
{
	int whole = n->bits / 8, rest = n->bits % 8;

	if (memcmp(address, n->prefix, (size_t)whole) != 0)
		return false;
	return rest == 0 || ((address[whole] ^ n->prefix[whole]) >> (8 - rest)) == 0;
}

static const struct network *
network_of(const struct sockaddr *sa)
{
	const struct network *v = networks_v4;
	size_t count = sizeof(networks_v4) / sizeof(networks_v4[0]);
	const uint8_t *address;

	if (sa->sa_family == AF_INET6) {
		address = ((const struct sockaddr_in6 *)(const void *)sa)->sin6_addr.s6_addr;
		v = networks_v6;
		count = sizeof(networks_v6) / sizeof(networks_v6[0]);
	} else {
		address = (const void *)&((const struct sockaddr_in *)(const void *)sa)->sin_addr;
	}
	for (size_t i = 0; i < count; i++)
		if (is_in(address, &v[i]))
			return &v[i];
	return &nobody;
}

/* Where an IPv6 address has an IPv4 address in it. */
static const struct {
	struct network network;
	int at;
} holders[] = {
	{{{[10] = 0xff, [11] = 0xff}, 96, 0, ""},		  12}, /* mapped */
	{{{[8] = 0xff, [9] = 0xff}, 96, 0, ""},		12}, /* translated */
	{{{0x00, 0x64, 0xff, 0x9b}, 96, 0, ""},		12}, /* NAT64 */
	{{{0x00, 0x64, 0xff, 0x9b, 0x00, 0x01}, 48, 0, ""}, 12}, /* NAT64, a network's own */
	{{{0x20, 0x02}, 16, 0, ""},			    2 }, /* 6to4 */
	{{{0}, 96, 0, ""},				  12}, /* compatible */
};

static bool
is_own_v6(const uint8_t a[16])
{
	static const uint8_t zeroes[15];

	return memcmp(a, zeroes, sizeof(zeroes)) == 0 && a[15] <= 1;
}

void
host_judged(struct sockaddr_storage *ret, const struct sockaddr *sa)
{
	const struct sockaddr_in6 *in6 = (const void *)sa;
	struct sockaddr_in in = {.sin_family = AF_INET};

	memset(ret, 0, sizeof(*ret));
	if (sa->sa_family == AF_INET) {
		memcpy(ret, sa, sizeof(in));
		return;
	}
	memcpy(ret, sa, sizeof(*in6));
	const uint8_t *a = in6->sin6_addr.s6_addr;
	for (size_t i = 0; i < sizeof(holders) / sizeof(holders[0]) && !is_own_v6(a); i++) {
		if (!is_in(a, &holders[i].network))
			continue;
		memcpy(&in.sin_addr, a + holders[i].at, sizeof(in.sin_addr));
		in.sin_port = in6->sin6_port;
		memset(ret, 0, sizeof(*ret));
		memcpy(ret, &in, sizeof(in));
		return;
	}
}

static const struct network *
judge(const struct sockaddr *sa)
{
	struct sockaddr_storage judged;

	host_judged(&judged, sa);
	return network_of((const struct sockaddr *)&judged);
}

unsigned
host_traits(const struct sockaddr *sa)
{
	return judge(sa)->traits;
}

const char *
host_guarded_as(const struct sockaddr *sa)
{
	const struct network *n = judge(sa);

	return (n->traits & HOST_GUARDED) != 0 ? n->as : "";
}

bool
host_same(const struct sockaddr *a, const struct sockaddr *b)
{
	struct sockaddr_storage x, y;

	host_judged(&x, a);
	host_judged(&y, b);
	if (x.ss_family != y.ss_family)
		return false;
	if (x.ss_family == AF_INET)
		return ((struct sockaddr_in *)&x)->sin_addr.s_addr ==
			((struct sockaddr_in *)&y)->sin_addr.s_addr;
	return memcmp(&((struct sockaddr_in6 *)&x)->sin6_addr,
		       &((struct sockaddr_in6 *)&y)->sin6_addr, 16) == 0;
}

void
host_write(char out[HOST_SHOWN_MAX], const struct sockaddr *sa, int port)
{
	char text[INET6_ADDRSTRLEN] = "";
	bool v6 = sa->sa_family == AF_INET6;
	const void *address = v6
		? (const void *)&((const struct sockaddr_in6 *)(const void *)sa)->sin6_addr
		: (const void *)&((const struct sockaddr_in *)(const void *)sa)->sin_addr;

	inet_ntop(sa->sa_family, address, text, sizeof(text));
	if (port <= 0)
		snprintf(out, HOST_SHOWN_MAX, "%s", text);
	else
		snprintf(out, HOST_SHOWN_MAX, v6 ? "[%s]:%d" : "%s:%d", text, port);
}

/* --- texts ------------------------------------------------------------------------------------ */

static void
take_v4(struct host *h, struct in_addr address)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr = address};

	memcpy(&h->address, &in, sizeof(in));
	h->address_len = sizeof(in);
}

/* A mapped address is reached as the IPv4 address that it is. */
static void
take_v6(struct host *h, struct in6_addr address)
{
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_addr = address};
	struct in_addr mapped;

	if (IN6_IS_ADDR_V4MAPPED(&address)) {
		memcpy(&mapped, address.s6_addr + 12, sizeof(mapped));
		take_v4(h, mapped);
		return;
	}
	memcpy(&h->address, &in6, sizeof(in6));
	h->address_len = sizeof(in6);
}

static void
finish_address(struct host *h)
{
	struct sockaddr_storage judged;
	const struct sockaddr *sa = (const struct sockaddr *)&h->address;

	h->kind = HOST_IS_ADDRESS;
	host_judged(&judged, sa);
	host_write(h->text, sa, 0);
	host_write(h->judged, (const struct sockaddr *)&judged, 0);
	h->traits = host_traits(sa);
}

/* As the C library reads them: inet_aton() takes octal, hexadecimal and short forms. */
static bool
parse_address(struct host *h, const char *text)
{
	struct in6_addr v6;
	struct in_addr v4;

	if (inet_pton(AF_INET6, text, &v6) == 1)
		take_v6(h, v6);
	else if (strspn(text, "0123456789abcdefx.") == strlen(text) && inet_aton(text, &v4) != 0)
		take_v4(h, v4);
	else
		return false;
	finish_address(h);
	return true;
}

static int
refuse(struct hw_err *err, const char *text, const char *why)
{
	return hw_err_set(err, HW_EVALIDATION, "\"%.100s\" is no host: %s", text, why);
}

/* A last part that is a number would be an address, or is a broken one. */
static bool
ends_in_number(const char *name)
{
	const char *last = strrchr(name, '.');

	last = last != NULL ? last + 1 : name;
	return strspn(last, "0123456789") == strlen(last) ||
		(last[0] == '0' && last[1] == 'x' &&
			strspn(last + 2, "0123456789abcdef") == strlen(last + 2));
}

static int
parse_name(struct host *h, const char *text, struct hw_err *err)
{
	size_t n = strlen(h->text), label = 0;

	if (strspn(h->text, "abcdefghijklmnopqrstuvwxyz0123456789-_.") != n || h->text[0] == '-')
		return refuse(err, text, "a name has letters, digits, - and _");
	for (size_t i = 0; i <= n; i++) {
		if (h->text[i] != '.' && h->text[i] != '\0') {
			label++;
			continue;
		}
		if (label == 0 || label > 63)
			return refuse(err, text, "a part of a name has 1 to 63 characters");
		label = 0;
	}
	if (n > 253)
		return refuse(err, text, "a name has at most 253 characters");
	if (ends_in_number(h->text))
		return refuse(err, text, "it ends as an address does, and is none");
	h->kind = HOST_IS_NAME;
	memcpy(h->judged, h->text, n + 1);
	if (strcmp(h->text, "localhost") == 0 ||
		(n > 10 && strcmp(h->text + n - 10, ".localhost") == 0))
		h->traits = HOST_LOCAL;
	return 0;
}

static int
parse_socket(struct host *h, const char *text, struct hw_err *err)
{
	const char *path = text + strlen(HOST_SOCKET);

	if (path[0] != '/' || strlen(path) > HOST_PATH_MAX)
		return hw_err_set(err, HW_EVALIDATION,
			"\"%.120s\": a Unix socket is unix: and an absolute path of at most %d bytes",
			text, HOST_PATH_MAX);
	for (const char *p = path; *p != '\0'; p++)
		if ((unsigned char)*p < ' ' || (unsigned char)*p > '~')
			return hw_err_set(err, HW_EVALIDATION,
				"the path of a Unix socket has printable ASCII characters alone");
	h->kind = HOST_IS_SOCKET;
	h->traits = HOST_LOCAL;
	strcpy(h->text, text);
	strcpy(h->judged, text);
	return 0;
}

/* Lower case, without brackets around it and the dot after it. */
static void
normalise(char out[HOST_MAX + 1], const char *text)
{
	size_t n = strlen(text);

	if (n > 2 && text[0] == '[' && text[n - 1] == ']') {
		text++;
		n -= 2;
	} else if (n > 1 && text[n - 1] == '.') {
		n--;
	}
	for (size_t i = 0; i < n; i++)
		out[i] = (char)(text[i] >= 'A' && text[i] <= 'Z' ? text[i] - 'A' + 'a' : text[i]);
	out[n] = '\0';
}

int
host_parse(struct host *ret, const char *text, struct hw_err *err)
{
	struct host h = {.kind = HOST_IS_NAME};
	size_t n = strlen(text);
	int r = 0;

	if (n == 0 || n > HOST_MAX)
		return hw_err_set(err, HW_EVALIDATION,
			n == 0 ? "a host is missing" : "a host has at most %d bytes", HOST_MAX);
	if (strncmp(text, HOST_SOCKET, strlen(HOST_SOCKET)) == 0) {
		r = parse_socket(&h, text, err);
	} else {
		normalise(h.text, text);
		if (strchr(h.text, '%') != NULL)
			r = refuse(err, text, "zones of addresses are not supported");
		else if (!parse_address(&h, h.text))
			r = parse_name(&h, text, err);
	}
	if (r == 0)
		*ret = h;
	return r;
}
