/* Names of resources, as SSM shapes them: arn:aws:ssm:REGION:ACCOUNT:managed-instance/mi-... What
 * is not plain in an id (a blank, a slash, a wildcard, a byte outside of ASCII) is percent-encoded,
 * so that no id that a peer sends reads as a pattern or as another resource. */
#ifndef HAWSER_CORE_ARN_H
#define HAWSER_CORE_ARN_H

#include <stdbool.h>

struct relay_config;

#define ARN_MAX 3200 /* bytes, with the NUL: of any id that a request can carry */

/* Each writes a whole name, or "" when the id is longer than any that there is. */
void arn_write_node(char out[ARN_MAX], const struct relay_config *c, const char *id);
/* `account` is "" for a document that comes with the system, as SSM has it for AWS's own. */
void arn_write_document(char out[ARN_MAX], const struct relay_config *c, const char *name,
	const char *account);
/* Whether a document has that second name, too. */
bool arn_of_system(const char *document);
void arn_write_session(char out[ARN_MAX], const struct relay_config *c, const char *id);
void arn_write_user(char out[ARN_MAX], const struct relay_config *c, const char *name);
/* Who asks on the relay's own machine: a name of the operating system, or a number. */
void arn_write_local(char out[ARN_MAX], const struct relay_config *c, const char *name);

#endif
