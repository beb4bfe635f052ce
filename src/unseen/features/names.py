"""What the name of a column says about a person: whole words, never parts of words."""

import re
from functools import cache

KINDS = {  # the first kind that fits counts; several words stand for themselves in that order
    "identifier": (
        "uuid, guid, ssn, social security, national id, tax id, tax number, tin, nhs number, passport, mrn, "
        "medical record number, driver licence, driver license, licence plate, license plate, imei, imsi, vin, "
        "ip address, mac address, cookie, username, user name, login, fingerprint id, "
        "patient id, person id, user id, customer id, client id, member id, subject id, employee id, student id, "
        "account id, device id, card id, record id, household id, "
        "patient number, customer number, account number, member number, policy number"
    ),
    "biometric": (
        "biometric, fingerprint, face embedding, face encoding, face image, faceprint, facial, iris scan, iris code, "
        "retina, retinal, voiceprint, voice embedding, gait, dna, genome, genotype, genetic, snp, allele"
    ),
    "health": (
        "health, medical, clinical, diagnosis, diagnoses, diagnosed, diag, disease, illness, icd, bmi, "
        "body mass index, glucose, insulin, cholesterol, triglyceride, creatinine, hemoglobin, haemoglobin, hba1c, "
        "platelet, blood, blood pressure, heart rate, heart disease, hiv, cancer, tumor, tumour, malignant, pregnant, "
        "pregnancy, pregnancies, medication, drug, prescription, symptom, diabetes, diabetic, stroke, smoker, smoking, "
        "alcohol, disability, disabled, mental, depression, anxiety, psychiatric, allergy, allergies, vaccine, "
        "vaccination, vaccinated, surgery, hospital, hospitalised, hospitalized, icu, mortality, patient, comorbidity, "
        "comorbidities, ecg, ekg, mri, fertility, contraception, abortion"
    ),
    "financial": (
        "income, salary, salaries, wage, earning, credit, debt, loan, mortgage, iban, bic, swift, account balance, "
        "tax, pension, bankruptcy, capital gain, capital loss, bank, transaction, net worth, networth, insurance, "
        "card number, credit card, creditworthiness, rent, benefit payment, welfare"
    ),
    "personal": (
        "age, sex, gender, race, ethnicity, ethnic, religion, religious, nationality, citizenship, immigration, "
        "native country, birth country, marital, birth, birthday, birthdate, birthplace, dob, surname, firstname, "
        "lastname, first name, last name, full name, maiden name, given name, family name, middle name, patient name, "
        "customer name, email, e mail, phone, telephone, mobile, fax, address, street, zip, zipcode, postcode, "
        "postal code, latitude, longitude, lat, lon, lng, gps, geolocation, sexual, orientation, political, politics, "
        "party membership, trade union, conviction, criminal, arrest, occupation, employer, education"
    ),
}
ALONE = {"name": "personal", "id": "identifier"}  # only where it is the whole name
_WORD_BREAK = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|[\W_]+")


def kind_of_name(name: str) -> str | None:
    """Return what kind of sensitive column `name` suggests, or None.

    Words are split at anything that is no letter or digit and at capitals within; a plural s and digits at the end do
    not matter.

    >>> kind_of_name("BloodPressure_2"), kind_of_name("age"), kind_of_name("language")
    ('health', 'personal', None)
    """
    words = [_stem(word) for word in _WORD_BREAK.split(name) if word]
    if len(words) == 1 and words[0] in ALONE:
        return ALONE[words[0]]
    text = f" {' '.join(words)} "
    return next((kind for kind in KINDS if any(f" {phrase} " in text for phrase in _phrases(kind))), None)


@cache
def _phrases(kind: str) -> tuple[str, ...]:
    return tuple(" ".join(map(_stem, phrase.split())) for phrase in KINDS[kind].split(", "))


def _stem(word: str) -> str:
    word = word.lower()
    word = word.rstrip("0123456789") or word
    plural = len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is"))
    return word[:-1] if plural else word
