// A PKCS#11 module that stands between a token host and a real module, and does to its calls what a test writes into a file: delays, errors,
// hangs, a cap on sessions, lost sessions, a lost token, and how vendors' AES-GCM differs. The file lies beside the module, named like it
// with ".control"; interposer.ts writes it, while the module is in use. See there for what each number means.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
#include <pkcs11/pkcs11.h>

// One number for each function, in the order of the header.
#define CK_PKCS11_FUNCTION_INFO(name) F_##name,
enum function {
#include <pkcs11/pkcs11f.h>
  functionCount
};
#undef CK_PKCS11_FUNCTION_INFO

struct row {
  int32_t delayUs, error, errors, errorIsAfter, hangs, calls, inFlight, mostInFlight;
};
struct control {
  char target[512];
  int32_t sessionCap, lostSessions, isLost, gcm, maxIdBytes, refusedAttribute, tokenObjectsOnly, released, openSessions;
  int32_t openedSessions, lostUpTo, rsaBits;
  int32_t spare[116];
  struct row rows[functionCount];
};

static volatile struct control *control;
static CK_FUNCTION_LIST functions, *real;
static int isLost;

#define mostSessions 4096
enum gcm { gcmAsIs, gcmWritesIv, gcmAppendsIv, gcmAbsent };
static struct session {
  CK_SESSION_HANDLE handle;
  int isUsed, isLost;
  int32_t number;
  enum gcm gcm;
  CK_BYTE_PTR callersIv;
  CK_BYTE iv[16];
} sessions[mostSessions];
static pthread_mutex_t sessionsLock = PTHREAD_MUTEX_INITIALIZER;

// Undefined sessions are the real module's to refuse.
static struct session *sessionOf(CK_SESSION_HANDLE handle) {
  for (int i = 0; i < mostSessions; i++)
    if (sessions[i].isUsed && sessions[i].handle == handle) return &sessions[i];
  return NULL;
}

static void addSession(CK_SESSION_HANDLE handle) {
  for (int i = 0; i < mostSessions; i++) {
    if (sessions[i].isUsed) continue;
    sessions[i] = (struct session){.handle = handle, .isUsed = 1, .number = ++control->openedSessions};
    control->openSessions++;
    return;
  }
}

static void forgetSessions(void) {
  memset(sessions, 0, sizeof sessions);
  control->openSessions = 0;
}

static int takeOne(volatile int32_t *count) {
  int32_t left = __atomic_load_n(count, __ATOMIC_SEQ_CST);
  while (left > 0)
    if (__atomic_compare_exchange_n(count, &left, left - 1, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) return 1;
  return left < 0;
}

static void waitUs(int32_t us) {
  struct timespec time = {us / 1000000, us % 1000000 * 1000L};
  while (nanosleep(&time, &time) != 0) continue;
}

static CK_RV before(enum function f, CK_SESSION_HANDLE *session) {
  volatile struct row *row = &control->rows[f];
  __atomic_add_fetch(&row->calls, 1, __ATOMIC_SEQ_CST);
  int32_t inFlight = __atomic_add_fetch(&row->inFlight, 1, __ATOMIC_SEQ_CST), most = row->mostInFlight;
  while (inFlight > most)
    if (__atomic_compare_exchange_n(&row->mostInFlight, &most, inFlight, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) break;
  if (takeOne(&row->hangs)) {
    int32_t released = control->released;
    while (control->released == released) waitUs(5000);
  }
  if (row->delayUs > 0) waitUs(row->delayUs);
  if (control->isLost) isLost = 1;
  if (isLost) return CKR_DEVICE_ERROR;
  if (session != NULL) {
    pthread_mutex_lock(&sessionsLock);
    struct session *known = sessionOf(*session);
    if (known != NULL && !known->isLost && known->number <= control->lostUpTo && takeOne(&control->lostSessions))
      known->isLost = 1;
    int lost = known != NULL && known->isLost;
    pthread_mutex_unlock(&sessionsLock);
    if (lost) return CKR_SESSION_HANDLE_INVALID;
  }
  if (row->error != 0 && !row->errorIsAfter && takeOne(&row->errors)) return (CK_RV)(uint32_t)row->error;
  return CKR_OK;
}

// The answer of a call that was made may be lost on its way.
static CK_RV after(enum function f, CK_RV rv) {
  volatile struct row *row = &control->rows[f];
  __atomic_sub_fetch(&row->inFlight, 1, __ATOMIC_SEQ_CST);
  if (rv == CKR_OK && row->error != 0 && row->errorIsAfter && takeOne(&row->errors)) return (CK_RV)(uint32_t)row->error;
  return rv;
}

#define CALL(name, session, expression) \
  CK_RV refused = before(F_##name, session); \
  return after(F_##name, refused != CKR_OK ? refused : (expression))
#define PLAIN(name, params, args) \
  static CK_RV my_##name params { CALL(name, NULL, real->name args); }
#define OF_SESSION(name, params, args) \
  static CK_RV my_##name params { CALL(name, &s, real->name args); }
#define INIT(name) OF_SESSION(name, (CK_SESSION_HANDLE s, CK_MECHANISM_PTR m, CK_OBJECT_HANDLE k), (s, m, k))
#define DATA(name) \
  OF_SESSION(name, (CK_SESSION_HANDLE s, CK_BYTE_PTR in, CK_ULONG n, CK_BYTE_PTR out, CK_ULONG_PTR m), (s, in, n, out, m))

PLAIN(C_GetSlotList, (CK_BBOOL present, CK_SLOT_ID_PTR list, CK_ULONG_PTR n), (present, list, n))
PLAIN(C_GetSlotInfo, (CK_SLOT_ID slot, CK_SLOT_INFO_PTR info), (slot, info))
PLAIN(C_GetTokenInfo, (CK_SLOT_ID slot, CK_TOKEN_INFO_PTR info), (slot, info))
PLAIN(C_GetMechanismInfo, (CK_SLOT_ID slot, CK_MECHANISM_TYPE m, CK_MECHANISM_INFO_PTR info), (slot, m, info))
OF_SESSION(C_GetSessionInfo, (CK_SESSION_HANDLE s, CK_SESSION_INFO_PTR info), (s, info))
OF_SESSION(C_Login, (CK_SESSION_HANDLE s, CK_USER_TYPE user, CK_UTF8CHAR_PTR pin, CK_ULONG n), (s, user, pin, n))
OF_SESSION(C_GetAttributeValue, (CK_SESSION_HANDLE s, CK_OBJECT_HANDLE o, CK_ATTRIBUTE_PTR t, CK_ULONG n), (s, o, t, n))
OF_SESSION(C_SetAttributeValue, (CK_SESSION_HANDLE s, CK_OBJECT_HANDLE o, CK_ATTRIBUTE_PTR t, CK_ULONG n), (s, o, t, n))
OF_SESSION(C_CopyObject,
  (CK_SESSION_HANDLE s, CK_OBJECT_HANDLE o, CK_ATTRIBUTE_PTR t, CK_ULONG n, CK_OBJECT_HANDLE_PTR made), (s, o, t, n, made))
OF_SESSION(C_DestroyObject, (CK_SESSION_HANDLE s, CK_OBJECT_HANDLE o), (s, o))
OF_SESSION(C_FindObjectsInit, (CK_SESSION_HANDLE s, CK_ATTRIBUTE_PTR t, CK_ULONG n), (s, t, n))
OF_SESSION(C_FindObjects,
  (CK_SESSION_HANDLE s, CK_OBJECT_HANDLE_PTR found, CK_ULONG most, CK_ULONG_PTR n), (s, found, most, n))
OF_SESSION(C_FindObjectsFinal, (CK_SESSION_HANDLE s), (s))
OF_SESSION(C_GenerateRandom, (CK_SESSION_HANDLE s, CK_BYTE_PTR out, CK_ULONG n), (s, out, n))
OF_SESSION(C_Verify, (CK_SESSION_HANDLE s, CK_BYTE_PTR in, CK_ULONG n, CK_BYTE_PTR signature, CK_ULONG m), (s, in, n, signature, m))
OF_SESSION(C_WrapKey,
  (CK_SESSION_HANDLE s, CK_MECHANISM_PTR m, CK_OBJECT_HANDLE by, CK_OBJECT_HANDLE k, CK_BYTE_PTR out, CK_ULONG_PTR n),
  (s, m, by, k, out, n))
INIT(C_DecryptInit)
INIT(C_SignInit)
INIT(C_VerifyInit)
DATA(C_Decrypt)
DATA(C_Sign)

static CK_RV my_C_Initialize(CK_VOID_PTR args) {
  if (!control->isLost) isLost = 0;
  CALL(C_Initialize, NULL, real->C_Initialize(args));
}

static CK_RV my_C_Finalize(CK_VOID_PTR reserved) {
  forgetSessions();
  return real->C_Finalize(reserved);
}

static CK_RV my_C_GetMechanismList(CK_SLOT_ID slot, CK_MECHANISM_TYPE_PTR list, CK_ULONG_PTR n) {
  CK_RV rv = before(F_C_GetMechanismList, NULL);
  if (rv == CKR_OK) rv = real->C_GetMechanismList(slot, list, n);
  if (rv == CKR_OK && list != NULL && control->gcm == gcmAbsent) {
    CK_ULONG kept = 0;
    for (CK_ULONG i = 0; i < *n; i++)
      if (list[i] != CKM_AES_GCM) list[kept++] = list[i];
    *n = kept;
  }
  return after(F_C_GetMechanismList, rv);
}

static CK_RV openSession(CK_SLOT_ID slot, CK_FLAGS flags, CK_VOID_PTR app, CK_NOTIFY notify, CK_SESSION_HANDLE_PTR made) {
  pthread_mutex_lock(&sessionsLock);
  int isFull = control->sessionCap > 0 && control->openSessions >= control->sessionCap;
  CK_RV rv = isFull ? CKR_SESSION_COUNT : real->C_OpenSession(slot, flags, app, notify, made);
  if (rv == CKR_OK) addSession(*made);
  pthread_mutex_unlock(&sessionsLock);
  return rv;
}

static CK_RV my_C_OpenSession(
  CK_SLOT_ID slot, CK_FLAGS flags, CK_VOID_PTR app, CK_NOTIFY notify, CK_SESSION_HANDLE_PTR made) {
  CALL(C_OpenSession, NULL, openSession(slot, flags, app, notify, made));
}

// A session that was lost is closed all the same, as its token would have done.
static CK_RV my_C_CloseSession(CK_SESSION_HANDLE s) {
  CK_RV refused = before(F_C_CloseSession, &s);
  pthread_mutex_lock(&sessionsLock);
  struct session *known = sessionOf(s);
  int closes = refused == CKR_OK || refused == CKR_SESSION_HANDLE_INVALID;
  CK_RV rv = closes ? real->C_CloseSession(s) : refused;
  if (closes && known != NULL) {
    known->isUsed = 0;
    control->openSessions--;
  }
  pthread_mutex_unlock(&sessionsLock);
  return after(F_C_CloseSession, refused != CKR_OK ? refused : rv);
}

static CK_RV my_C_CloseAllSessions(CK_SLOT_ID slot) {
  forgetSessions();
  return real->C_CloseAllSessions(slot);
}

// How Luna in FIPS mode (appends 16 bytes of IV), CloudHSM and nShield (write an IV of 12 into the caller's zeroes) encrypt.
static CK_RV encryptInit(CK_SESSION_HANDLE s, CK_MECHANISM_PTR m, CK_OBJECT_HANDLE key) {
  enum gcm gcm = control->gcm;
  pthread_mutex_lock(&sessionsLock);
  struct session *session = sessionOf(s);
  pthread_mutex_unlock(&sessionsLock);
  if (session == NULL || m == NULL || m->mechanism != CKM_AES_GCM || gcm == gcmAsIs) return real->C_EncryptInit(s, m, key);
  if (gcm == gcmAbsent) return CKR_MECHANISM_INVALID;
  CK_GCM_PARAMS params = *(CK_GCM_PARAMS *)m->pParameter;
  static const CK_BYTE zeroes[12];
  if (gcm == gcmWritesIv && (params.pIv == NULL || params.ulIvLen != 12)) return CKR_MECHANISM_PARAM_INVALID;
  if (gcm == gcmWritesIv && memcmp(params.pIv, zeroes, 12) != 0) return CKR_ARGUMENTS_BAD;
  if (gcm == gcmAppendsIv && params.pIv != NULL && params.ulIvLen > 0) return CKR_MECHANISM_PARAM_INVALID;
  session->callersIv = params.pIv;
  params.ulIvLen = gcm == gcmWritesIv ? 12 : 16;
  params.ulIvBits = params.ulIvLen * 8;
  params.pIv = session->iv;
  CK_MECHANISM changed = {CKM_AES_GCM, &params, sizeof params};
  CK_RV rv = real->C_GenerateRandom(s, session->iv, params.ulIvLen);
  if (rv == CKR_OK) rv = real->C_EncryptInit(s, &changed, key);
  session->gcm = rv == CKR_OK ? gcm : gcmAsIs;
  return rv;
}

static CK_RV encrypt(CK_SESSION_HANDLE s, CK_BYTE_PTR in, CK_ULONG n, CK_BYTE_PTR out, CK_ULONG_PTR m) {
  pthread_mutex_lock(&sessionsLock);
  struct session *session = sessionOf(s);
  pthread_mutex_unlock(&sessionsLock);
  enum gcm gcm = session == NULL ? gcmAsIs : session->gcm;
  if (gcm == gcmAppendsIv && (out == NULL || *m < n + 32)) {
    *m = n + 32;
    return out == NULL ? CKR_OK : CKR_BUFFER_TOO_SMALL;
  }
  CK_RV rv = real->C_Encrypt(s, in, n, out, m);
  if (rv != CKR_OK || out == NULL || gcm == gcmAsIs) return rv;
  if (gcm == gcmWritesIv) memcpy(session->callersIv, session->iv, 12);
  else {
    memcpy(out + *m, session->iv, 16);
    *m += 16;
  }
  session->gcm = gcmAsIs;
  return rv;
}

static CK_RV my_C_EncryptInit(CK_SESSION_HANDLE s, CK_MECHANISM_PTR m, CK_OBJECT_HANDLE k) {
  CALL(C_EncryptInit, &s, encryptInit(s, m, k));
}

static CK_RV my_C_Encrypt(CK_SESSION_HANDLE s, CK_BYTE_PTR in, CK_ULONG n, CK_BYTE_PTR out, CK_ULONG_PTR m) {
  CALL(C_Encrypt, &s, encrypt(s, in, n, out, m));
}

static CK_RV refusedTemplate(CK_ATTRIBUTE_PTR template, CK_ULONG n) {
  for (CK_ULONG i = 0; i < n; i++) {
    CK_ATTRIBUTE a = template[i];
    if (control->refusedAttribute != 0 && a.type == (CK_ULONG)(uint32_t)control->refusedAttribute)
      return CKR_ATTRIBUTE_TYPE_INVALID;
    if (control->maxIdBytes > 0 && a.type == CKA_ID && a.ulValueLen > (CK_ULONG)control->maxIdBytes)
      return CKR_ATTRIBUTE_VALUE_INVALID;
    if (control->tokenObjectsOnly && a.type == CKA_TOKEN && a.pValue != NULL && *(CK_BBOOL *)a.pValue == CK_FALSE)
      return CKR_TEMPLATE_INCONSISTENT;
  }
  return CKR_OK;
}

#define MAKING(name, params, template, n, args) \
  static CK_RV my_##name params { \
    CK_RV wrong = refusedTemplate(template, n); \
    CALL(name, &s, wrong != CKR_OK ? wrong : real->name args); \
  }
MAKING(C_CreateObject, (CK_SESSION_HANDLE s, CK_ATTRIBUTE_PTR t, CK_ULONG n, CK_OBJECT_HANDLE_PTR made), t, n, (s, t, n, made))

// As busy as the real module is with a key pair of so many bits: it makes one first, in this session and thread.
static CK_RV makePair(CK_SESSION_HANDLE s, CK_ULONG bits) {
  CK_BYTE exponent[] = {1, 0, 1};
  CK_BBOOL no = CK_FALSE;
  CK_MECHANISM m = {CKM_RSA_PKCS_KEY_PAIR_GEN, NULL, 0};
  CK_ATTRIBUTE template[] = {
    {CKA_TOKEN, &no, sizeof no}, {CKA_MODULUS_BITS, &bits, sizeof bits}, {CKA_PUBLIC_EXPONENT, exponent, sizeof exponent}};
  CK_OBJECT_HANDLE public, private;
  CK_RV rv = real->C_GenerateKeyPair(s, &m, template, 3, template, 1, &public, &private);
  if (rv == CKR_OK) rv = real->C_DestroyObject(s, public);
  return rv == CKR_OK ? real->C_DestroyObject(s, private) : rv;
}

static CK_RV generateKey(CK_SESSION_HANDLE s, CK_MECHANISM_PTR m, CK_ATTRIBUTE_PTR t, CK_ULONG n, CK_OBJECT_HANDLE_PTR made) {
  CK_RV rv = control->rsaBits > 0 ? makePair(s, (CK_ULONG)control->rsaBits) : CKR_OK;
  return rv == CKR_OK ? real->C_GenerateKey(s, m, t, n, made) : rv;
}

static CK_RV my_C_GenerateKey(
  CK_SESSION_HANDLE s, CK_MECHANISM_PTR m, CK_ATTRIBUTE_PTR t, CK_ULONG n, CK_OBJECT_HANDLE_PTR made) {
  CK_RV wrong = refusedTemplate(t, n);
  CALL(C_GenerateKey, &s, wrong != CKR_OK ? wrong : generateKey(s, m, t, n, made));
}

MAKING(C_GenerateKeyPair,
  (CK_SESSION_HANDLE s, CK_MECHANISM_PTR m, CK_ATTRIBUTE_PTR p, CK_ULONG pn, CK_ATTRIBUTE_PTR t, CK_ULONG n,
    CK_OBJECT_HANDLE_PTR madePublic, CK_OBJECT_HANDLE_PTR made),
  t, n, (s, m, p, pn, t, n, madePublic, made))
MAKING(C_UnwrapKey,
  (CK_SESSION_HANDLE s, CK_MECHANISM_PTR m, CK_OBJECT_HANDLE by, CK_BYTE_PTR in, CK_ULONG inBytes, CK_ATTRIBUTE_PTR t,
    CK_ULONG n, CK_OBJECT_HANDLE_PTR made),
  t, n, (s, m, by, in, inBytes, t, n, made))
MAKING(C_DeriveKey,
  (CK_SESSION_HANDLE s, CK_MECHANISM_PTR m, CK_OBJECT_HANDLE from, CK_ATTRIBUTE_PTR t, CK_ULONG n, CK_OBJECT_HANDLE_PTR made),
  t, n, (s, m, from, t, n, made))

static CK_RV openReal(void) {
  Dl_info own;
  char path[4096];
  if (dladdr((void *)openReal, &own) == 0) return CKR_GENERAL_ERROR;
  snprintf(path, sizeof path, "%s.control", own.dli_fname);
  int file = open(path, O_RDWR | O_CLOEXEC);
  if (file < 0) return CKR_GENERAL_ERROR;
  void *mapped = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  close(file);
  if (mapped == MAP_FAILED) return CKR_GENERAL_ERROR;
  control = mapped;
  void *module = dlopen((const char *)control->target, RTLD_NOW | RTLD_LOCAL);
  if (module == NULL) return CKR_GENERAL_ERROR;
  CK_C_GetFunctionList get = (CK_C_GetFunctionList)dlsym(module, "C_GetFunctionList");
  return get == NULL ? CKR_GENERAL_ERROR : get(&real);
}

CK_RV C_GetFunctionList(CK_FUNCTION_LIST_PTR_PTR list) {
  if (real == NULL) {
    CK_RV rv = openReal();
    if (rv != CKR_OK) return rv;
    functions = *real;
    functions.C_GetFunctionList = C_GetFunctionList;
#define USE(name) functions.name = my_##name
    USE(C_Initialize), USE(C_Finalize), USE(C_GetSlotList), USE(C_GetSlotInfo), USE(C_GetTokenInfo), USE(C_GetMechanismList);
    USE(C_GetMechanismInfo), USE(C_OpenSession), USE(C_CloseSession), USE(C_CloseAllSessions), USE(C_GetSessionInfo);
    USE(C_Login), USE(C_CreateObject), USE(C_CopyObject), USE(C_DestroyObject), USE(C_GetAttributeValue);
    USE(C_SetAttributeValue), USE(C_FindObjectsInit), USE(C_FindObjects), USE(C_FindObjectsFinal), USE(C_EncryptInit);
    USE(C_Encrypt), USE(C_DecryptInit), USE(C_Decrypt), USE(C_SignInit), USE(C_Sign), USE(C_VerifyInit), USE(C_Verify);
    USE(C_GenerateKey), USE(C_GenerateKeyPair), USE(C_GenerateRandom), USE(C_WrapKey), USE(C_UnwrapKey);
    USE(C_DeriveKey);
  }
  *list = &functions;
  return CKR_OK;
}
