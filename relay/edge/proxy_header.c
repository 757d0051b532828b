#include "relay/edge/proxy_header.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define V1_MIN 15  /* "PROXY UNKNOWN\r\n" */
#define V1_MAX 107 /* as the protocol has it */
#define V2_MIN 16

static enum proxy_header_state
wait_for(struct proxy_header *h, size_t n)
{
	h->n = n;
	return PROXY_HEADER_PART;
}

static void
take_v4(struct proxy_header *h, const void *address, int port)
{
	struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};

	memcpy(&v4.sin_addr, address, 4);
	memcpy(&h->from, &v4, sizeof(v4));
	h->told = true;
}

static void
take_v6(struct proxy_header *h, const void *address, int port)
{
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port)};

	memcpy(&v6.sin6_addr, address, 16);
	memcpy(&h->from, &v6, sizeof(v6));
	h->told = true;
}

/* --- version 2: binary ----------------------------------------------------------------------- */

static const uint8_t signature[12] = "\r\n\r\n\0\r\nQUIT\n";

/* What follows the addresses, as certificates' names, is passed over. */
static enum proxy_header_state
read_v2(struct proxy_header *h, const uint8_t *p, size_t n)
{
	size_t length;
	int command, family;

	if (n < V2_MIN)
		return wait_for(h, V2_MIN);
	length = (size_t)p[14] << 8 | p[15];
	command = p[12] & 0xf;
	family = p[13];
	if (p[12] >> 4 != 2 || command > 1 || V2_MIN + length > PROXY_HEADER_MAX)
		return PROXY_HEADER_BAD;
	if (n < V2_MIN + length)
		return wait_for(h, V2_MIN + length);
	h->n = V2_MIN + length;
	if (command == 0)
		return PROXY_HEADER_WHOLE;
	if (family == 0x11 && length >= 12)
		take_v4(h, p + 16, p[24] << 8 | p[25]);
	else if (family == 0x21 && length >= 36)
		take_v6(h, p + 16, p[48] << 8 | p[49]);
	else if (family != 0) /* neither TCP nor unknown: it comes to the wrong port */
		return PROXY_HEADER_BAD;
	return PROXY_HEADER_WHOLE;
}

/* --- version 1: a line ----------------------------------------------------------------------- */

static bool
read_port(int *ret, const char *text)
{
	size_t n = strspn(text, "0123456789");

	if (n == 0 || n > 5 || text[n] != '\0' || (n > 1 && text[0] == '0'))
		return false;
	*ret = atoi(text);
	return *ret <= 65535;
}

static bool
take_line(struct proxy_header *h, char *line)
{
	char *words[6], *rest = line;
	unsigned char from[16], to[16];
	int family, port, to_port, count = 0;

	while (count < 6 && (words[count] = strsep(&rest, " ")) != NULL)
		count++;
	if (count >= 2 && strcmp(words[1], "UNKNOWN") == 0)
		return true; /* whatever follows */
	if (count != 6 || rest != NULL)
		return false;
	family = strcmp(words[1], "TCP4") == 0	? AF_INET
		: strcmp(words[1], "TCP6") == 0 ? AF_INET6
						: AF_UNSPEC;
	if (family == AF_UNSPEC || inet_pton(family, words[2], from) != 1 ||
		inet_pton(family, words[3], to) != 1 || !read_port(&port, words[4]) ||
		!read_port(&to_port, words[5]))
		return false;
	(family == AF_INET ? take_v4 : take_v6)(h, from, port);
	return true;
}

static enum proxy_header_state
read_v1(struct proxy_header *h, const uint8_t *p, size_t n)
{
	char line[V1_MAX + 1];
	const uint8_t *end = memchr(p, '\n', n < V1_MAX ? n : V1_MAX);
	size_t length = end != NULL ? (size_t)(end - p) + 1 : 0;

	if (end == NULL)
		return n < V1_MAX ? wait_for(h, n < V1_MIN ? V1_MIN : n + 1) : PROXY_HEADER_BAD;
	if (length < V1_MIN || end[-1] != '\r' || memchr(p, '\0', length) != NULL)
		return PROXY_HEADER_BAD;
	memcpy(line, p, length - 2);
	line[length - 2] = '\0';
	h->n = length;
	return take_line(h, line) ? PROXY_HEADER_WHOLE : PROXY_HEADER_BAD;
}

enum proxy_header_state
proxy_header_read(struct proxy_header *ret, const uint8_t *p, size_t n)
{
	static const char first[] = "PROXY ";
	size_t v1 = sizeof(first) - 1, v2 = sizeof(signature);

	*ret = (struct proxy_header){.n = 0};
	if (n == 0)
		return wait_for(ret, V1_MIN);
	if (memcmp(p, signature, n < v2 ? n : v2) == 0)
		return read_v2(ret, p, n);
	if (memcmp(p, first, n < v1 ? n : v1) == 0)
		return read_v1(ret, p, n);
	return PROXY_HEADER_BAD;
}
