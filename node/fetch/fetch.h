/* How each source is got into a place. In a process of its own, as who runs the command. */
#ifndef HAWSER_FETCH_FETCH_H
#define HAWSER_FETCH_FETCH_H

struct fetch_spec;
struct hw_err;
struct place;

/* HTTP and S3, by libcurl: TLS verified, redirects bounded and never to less than asked for. */
int fetch_web(struct place *p, const struct fetch_spec *s, struct hw_err *err);
/* Git and GitHub, by the machine's git. */
int fetch_git(struct place *p, const struct fetch_spec *s, struct hw_err *err);
/* A file or directory of this machine. */
int fetch_local(struct place *p, const struct fetch_spec *s, struct hw_err *err);

#endif
