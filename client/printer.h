/* Text for stdout, in pieces: written when there is enough of it. */
#ifndef HAWSER_CLIENT_PRINTER_H
#define HAWSER_CLIENT_PRINTER_H

#include "client/tidy.h"
#include "client/yaml_pipe.h"

struct spool;
struct spooled;

struct printer {
	int fd;
	struct buf out;
	struct tidy tidy;
	struct yaml_pipe *yaml; /* NULL, or what is printed is JSON, and written as YAML; lent */
	bool mid_line;
};

/* `safe`: what nodes wrote steers no terminal. */
void printer_init(struct printer *p, int fd, bool safe);
void printer_fini(struct printer *p);

/* Our own words; texts of others in them go through display_append() before. */
int printer_say(struct printer *p, struct hw_err *err, const char *fmt, ...) HW_PRINTF(3, 4);
/* A name, or whatever came from elsewhere and stands within a line. */
void printer_name(struct printer *p, const char *text);
/* What a node wrote. */
int printer_bytes(struct printer *p, const uint8_t *bytes, size_t n, struct hw_err *err);
int printer_spooled(struct printer *p, struct spool *s, const struct spooled *of,
	struct hw_err *err);
/* Ends a line that was begun. */
void printer_end_line(struct printer *p);
/* Whoever reads may have gone: that is no error, and the rest goes nowhere. */
int printer_flush(struct printer *p, struct hw_err *err);

#endif
