/* Names of files made of what others call their things. Pure. */
#ifndef HAWSER_CLIENT_FILE_NAME_H
#define HAWSER_CLIENT_FILE_NAME_H

#include <stdbool.h>

#define FILE_NAME_MAX 100

/* Letters, digits and "._@+=-" stay, not all of them as the first; anything else becomes '_', and
 * what is too long is cut. Never empty, "." or "..". False when it is not the text itself, so that
 * others may have the same name. */
bool file_name_safe(char out[FILE_NAME_MAX + 1], const char *text);

#endif
