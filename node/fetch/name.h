/* What a file is to be called that a server or a document's author names. Pure. */
#ifndef HAWSER_FETCH_NAME_H
#define HAWSER_FETCH_NAME_H

#include <stdbool.h>
#include <stddef.h>

#define FETCH_NAME_MAX 255

/* One component of a path: not empty, not . or .., no slash, no control character. */
bool fetch_name_is_good(const char *name);

/* The last component of a URL's path, decoded; false when that is no name. */
bool fetch_name_from_url(char out[FETCH_NAME_MAX + 1], const char *url);

/* The filename of a Content-Disposition header's value of n bytes; false when it has none, or none
 * that is good. */
bool fetch_name_from_disposition(char out[FETCH_NAME_MAX + 1], const char *value, size_t n);

#endif
