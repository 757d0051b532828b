/* Access keys' secrets: kept under the relay's master key, because Signature V4 needs them whole.
 */
#ifndef HAWSER_SERVICES_KEYS_H
#define HAWSER_SERVICES_KEYS_H

#include "relay/store/keys.h"

struct op_env;

#define ACCESS_KEY_SECRET_LEN 40 /* base64 of 30 random bytes */

/* Opens the secret of a row that was read; whoever asked wipes it. Whether the key and its user may
 * be used is not asked. HW_ECORRUPT when it was sealed for another key or user, or not by this
 * relay. */
int access_key_secret(char out[ACCESS_KEY_SECRET_LEN + 1], const struct op_env *env,
	const struct key_row *row, struct hw_err *err);

#endif
