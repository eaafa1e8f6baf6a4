"""A made-up file with the header of the published COMPAS file: no row of it is about anyone."""

import csv
import dataclasses
import hashlib
import io

from dralign.data import compas

PUBLISHED = (
    "id,name,first,last,compas_screening_date,sex,dob,age,age_cat,race,juv_fel_count,decile_score,"
    "juv_misd_count,juv_other_count,priors_count,days_b_screening_arrest,c_jail_in,c_jail_out,"
    "c_case_number,c_offense_date,c_arrest_date,c_days_from_compas,c_charge_degree,c_charge_desc,"
    "is_recid,r_case_number,r_charge_degree,r_days_from_arrest,r_offense_date,r_charge_desc,"
    "r_jail_in,r_jail_out,violent_recid,is_violent_recid,vr_case_number,vr_charge_degree,"
    "vr_offense_date,vr_charge_desc,type_of_assessment,decile_score,score_text,screening_date,"
    "v_type_of_assessment,v_decile_score,v_score_text,v_screening_date,in_custody,out_custody,"
    "priors_count,start,end,event,two_year_recid"
)
HEADER = next(csv.reader([PUBLISHED]))
MARK = "identifies, somebody"  # in every column that is not among those that are kept
RACES = ("African-American", "Caucasian", "Hispanic", "Other")
AGES = ("25 - 45", "Greater than 45", "Less than 25")
ODD = (  # one row each for what the filter leaves out
    {"days_b_screening_arrest": "31"},
    {"days_b_screening_arrest": "-31"},
    {"days_b_screening_arrest": ""},
    {"is_recid": "-1"},
    {"c_charge_degree": "O"},
    {"score_text": "N/A"},
)


def row(place: int, **changes: str) -> list[str]:
    """The fields of one made-up row."""
    values = {
        "sex": ("Male", "Female")[place // 4 % 2],
        "age": str(20 + place % 40),
        "age_cat": AGES[place % 3],
        "race": RACES[place % 4],
        "juv_fel_count": "0",
        "juv_misd_count": str(place % 2),
        "juv_other_count": "0",
        "priors_count": str(place % 7),
        "days_b_screening_arrest": str((-30, 0, 30)[place % 3]),
        "c_charge_degree": "FM"[place % 2],
        "is_recid": str(place % 2),
        "decile_score": str(1 + place % 10),
        "score_text": ("Low", "Medium", "High")[place % 3],
        "two_year_recid": str(place // 8 % 2),
    } | changes
    return [values.get(name, MARK) for name in HEADER]


def content(n: int = 400) -> bytes:
    """The bytes of the file: ``n`` rows that stay, and those that the filter leaves out."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(HEADER)
    writer.writerows(row(place) for place in range(n))
    writer.writerows(row(place, **odd) for place, odd in enumerate(ODD))
    return text.getvalue().encode()


def described(made_up: bytes, url: str = "") -> compas.PublishedFile:
    """The description of a published file whose bytes are these."""
    digest = hashlib.sha256(made_up).hexdigest()
    return dataclasses.replace(compas.FILE, size=len(made_up), sha256=digest, url=url)
